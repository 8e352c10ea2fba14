{{/* Values that stop helm, each with what to do about it. */}}

{{/* Refuses what would be dangerous to pass over. */}}
{{- define "tidegate.refuse" -}}
{{- if or .Values.tcp .Values.udp -}}
{{- fail "tcp and udp: Tidegate does not forward TCP or UDP ports yet; leave these values empty" -}}
{{- end -}}
{{- if contains "ingress-nginx/controller" (include "tidegate.image" (list . .Values.controller.image "" "")) -}}
{{- fail "controller.image: it names ingress-nginx's image; take registry, image, repository, tag and digest out" -}}
{{- end -}}
{{- if get .Values.controller.scope "namespaceSelector" -}}
{{- fail "controller.scope.namespaceSelector: namespaces cannot be selected by label; name them in controller.scope.namespace, with commas between them" -}}
{{- end -}}
{{- range list "block-cidrs" "block-referers" "block-user-agents" "denylist-source-range" "enable-modsecurity" "global-auth-url" "whitelist-source-range" -}}
{{- $value := toString (get $.Values.controller.config .) -}}
{{- if not (or (eq $value "") (eq $value "false")) -}}
{{- fail (printf "controller.config.%s: it protects something, and Tidegate does not support it yet; take it away to serve without this protection" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.rbac.scope (not .Values.controller.scope.enabled) -}}
{{- fail "rbac.scope: a Role cannot give the rights to watch every namespace; set controller.scope.enabled too" -}}
{{- end -}}
{{- include "tidegate.refuse.flags" . -}}
{{- if and .Values.defaultBackend.enabled .Values.controller.scope.enabled (not (has (include "tidegate.namespace" .) (splitList "," (include "tidegate.watched" .)))) -}}
{{- fail (printf "defaultBackend.enabled: the default backend is in the namespace %s, which controller.scope.namespace leaves out" (include "tidegate.namespace" .)) -}}
{{- end -}}
{{- end -}}

{{/* Refuses flags that a Pod would end with at once, or that what is made besides the Pod would not follow. */}}
{{- define "tidegate.refuse.flags" -}}
{{- $given := .Values.controller.extraArgs -}}
{{- $instead := dict "election-lease" "controller.electionID" "health" "controller.metrics.port" "http" "controller.containerPort.http" -}}
{{- $instead = merge $instead (dict "https" "controller.containerPort.https" "watch-namespace" "controller.scope") -}}
{{- range $flag, $value := $instead -}}
{{- if hasKey $given $flag -}}
{{- fail (printf "controller.extraArgs.%s: ports, probes and rights would not follow it; set %s instead" $flag $value) -}}
{{- end -}}
{{- end -}}
{{- range $flag, $value := .Files.Get "files/unknown-flags.yaml" | fromYaml -}}
{{- if hasKey $given $flag -}}
{{- $advice := ternary "take it out" (printf "set %s instead" $value) (eq $value "") -}}
{{- fail (printf "controller.extraArgs.%s: Tidegate has no such flag; %s" $flag $advice) -}}
{{- end -}}
{{- end -}}
{{- $publishing := include "tidegate.publishing" . -}}
{{- if contains "," $publishing -}}
{{- fail (printf "controller.extraArgs: %s exclude each other; leave one of them" (replace "," " and " $publishing)) -}}
{{- end -}}
{{- if and .Values.rbac.scope (eq $publishing "publish-nodes-of") -}}
{{- fail "controller.extraArgs.publish-nodes-of: rbac.scope leaves out the right to read Nodes; use publish-status-address" -}}
{{- end -}}
{{- if hasKey $given "drain-min" -}}
{{- $least := index $given "drain-min" -}}
{{- $most := default (default "240s" (include "tidegate.drain-max" .)) (get $given "drain-max") -}}
{{- if gt (include "tidegate.seconds" $least | int) (include "tidegate.seconds" $most | int) -}}
{{- fail (printf "controller.extraArgs.drain-min: %v is longer than --drain-max, which is %v; raise controller.terminationGracePeriodSeconds" $least $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}
