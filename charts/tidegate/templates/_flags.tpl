{{/* The process: its ports, its flags and what it may do. */}}

{{- define "tidegate.http-port" -}}
{{- .Values.controller.containerPort.http | default (ternary 80 8080 .Values.controller.hostNetwork) | int -}}
{{- end -}}

{{- define "tidegate.https-port" -}}
{{- .Values.controller.containerPort.https | default (ternary 443 8443 .Values.controller.hostNetwork) | int -}}
{{- end -}}

{{/* "true" where a port is listened on that takes a right. */}}
{{- define "tidegate.privileged-ports" -}}
{{- if or (lt (include "tidegate.http-port" . | int) 1024) (lt (include "tidegate.https-port" . | int) 1024) -}}true{{- end -}}
{{- end -}}

{{/* Namespaces that are watched, with commas between them; empty for all. */}}
{{- define "tidegate.watched" -}}
{{- if .Values.controller.scope.enabled -}}
{{- $names := list -}}
{{- range splitList "," (default (include "tidegate.namespace" .) .Values.controller.scope.namespace) -}}
{{- $names = append $names (trim .) -}}
{{- end -}}
{{- without $names "" | uniq | join "," -}}
{{- end -}}
{{- end -}}

{{/* The flags of extraArgs that say whose addresses go into status, with commas between them. Each rules the others out, and so whatever
the chart would give. */}}
{{- define "tidegate.publishing" -}}
{{- $found := list -}}
{{- range list "publish-nodes-of" "publish-service" "publish-status-address" -}}
{{- if hasKey $.Values.controller.extraArgs . }}{{ $found = append $found . }}{{ end -}}
{{- end -}}
{{- join "," $found -}}
{{- end -}}

{{/* The Service whose addresses go into status: namespace/name, or nothing. */}}
{{- define "tidegate.published" -}}
{{- $given := include "tidegate.publishing" . -}}
{{- $path := .Values.controller.publishService.pathOverride -}}
{{- if eq $given "publish-service" }}{{ $path = index .Values.controller.extraArgs "publish-service" | toString }}{{ end -}}
{{- if or (eq $given "publish-service") (and .Values.controller.publishService.enabled (not $given)) -}}
{{- $own := printf "%s/%s" (include "tidegate.namespace" .) (include "tidegate.controller" .) -}}
{{- if $path -}}
{{- $path | replace "$(POD_NAMESPACE)" (include "tidegate.namespace" .) -}}
{{- else if and .Values.controller.service.enabled .Values.controller.service.external.enabled -}}
{{- $own -}}
{{- else if and .Values.controller.service.enabled .Values.controller.service.internal.enabled -}}
{{- printf "%s-internal" $own -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Pods whose nodes' addresses go into status, since no Service is published: namespace/labels, or nothing. Not with scope, unless it is
asked for: nodes and Pods elsewhere are none of its business. */}}
{{- define "tidegate.published-nodes" -}}
{{- $given := include "tidegate.publishing" . -}}
{{- if eq $given "publish-nodes-of" -}}
{{- index .Values.controller.extraArgs "publish-nodes-of" | toString | replace "$(POD_NAMESPACE)" (include "tidegate.namespace" .) -}}
{{- else if not (or $given (include "tidegate.published" .) .Values.controller.scope.enabled) -}}
{{- $labels := list -}}
{{- range $label, $value := include "tidegate.controller.selector" . | fromYaml }}{{ $labels = append $labels (printf "%s=%v" $label $value) }}{{ end -}}
{{- printf "%s/%s" (include "tidegate.namespace" .) (join "," $labels) -}}
{{- end -}}
{{- end -}}

{{/* How long requests may take to finish: what a Pod has after its hook, less a margin: a third below half a minute, else ten seconds, a
minute from five minutes on. Nothing where that is the default, 240s. */}}
{{- define "tidegate.drain-max" -}}
{{- $pause := dig "preStop" "sleep" "seconds" 0 .Values.controller.lifecycle | int -}}
{{- $grace := sub (.Values.controller.terminationGracePeriodSeconds | int) $pause -}}
{{- if lt $grace 30 -}}
{{- printf "%ds" (div (mul $grace 2) 3 | max 1) -}}
{{- else if lt $grace 250 -}}
{{- printf "%ds" (sub $grace 10) -}}
{{- else if gt $grace 300 -}}
{{- printf "%ds" (sub $grace 60) -}}
{{- end -}}
{{- end -}}

{{/* Seconds of a duration as Go writes them, which flags are given; 0 of another text. */}}
{{- define "tidegate.seconds" -}}
{{- $zero := toDate "2006-01-02" "2000-01-01" -}}
{{- sub (dateModify (printf "+%v" .) $zero | unixEpoch) (unixEpoch $zero) -}}
{{- end -}}

{{/* Flags of ingress-nginx that have another name here. */}}
{{- define "tidegate.renamed-flags" -}}
default-backend-service: default-backend
default-ssl-certificate: default-certificate
disable-svc-external-name: disable-external-name
{{- end -}}

{{/* Flags as YAML: those that the chart gives, and over them those of extraArgs. */}}
{{- define "tidegate.flags" -}}
{{- $controller := .Values.controller -}}
{{- $config := $controller.config -}}
{{- $flags := dict "controller-name" $controller.ingressClassResource.controllerValue -}}
{{- $_ := set $flags "election-lease" (printf "%s/%s" (include "tidegate.namespace" .) (include "tidegate.lease" .)) -}}
{{- with $controller.ingressClass }}{{ $_ := set $flags "ingress-class" . }}{{ end -}}
{{- if $controller.ingressClassByName }}{{ $_ := set $flags "ingress-class-by-name" "true" }}{{ end -}}
{{- if $controller.watchIngressWithoutClass }}{{ $_ := set $flags "watch-ingress-without-class" "true" }}{{ end -}}
{{- with include "tidegate.watched" . }}{{ $_ := set $flags "watch-namespace" . }}{{ end -}}
{{- with include "tidegate.published" . }}{{ $_ := set $flags "publish-service" . }}{{ end -}}
{{- with include "tidegate.published-nodes" . }}{{ $_ := set $flags "publish-nodes-of" . }}{{ end -}}
{{- with include "tidegate.drain-max" . }}{{ $_ := set $flags "drain-max" . }}{{ end -}}
{{- $http := include "tidegate.http-port" . | int -}}
{{- $https := include "tidegate.https-port" . | int -}}
{{- if ne $http 8080 }}{{ $_ := set $flags "http" (printf ":%d" $http) }}{{ end -}}
{{- if ne $https 8443 }}{{ $_ := set $flags "https" (printf ":%d" $https) }}{{ end -}}
{{- if ne (int $controller.metrics.port) 10254 }}{{ $_ := set $flags "health" (printf ":%d" (int $controller.metrics.port)) }}{{ end -}}
{{- if not $controller.hostNetwork -}}
{{- $ports := ternary $controller.hostPort.ports $controller.service.ports $controller.hostPort.enabled -}}
{{- $_ := set $flags "public-http-port" (toString (int $ports.http)) -}}
{{- $_ := set $flags "public-https-port" (toString (int $ports.https)) -}}
{{- end -}}
{{- if .Values.defaultBackend.enabled -}}
{{- $_ := set $flags "default-backend" (printf "%s/%s" (include "tidegate.namespace" .) (include "tidegate.default-backend" .)) -}}
{{- end -}}
{{- $peers := get $config "proxy-real-ip-cidr" | default "0.0.0.0/0,::/0" -}}
{{- if eq (toString (get $config "use-proxy-protocol")) "true" }}{{ $_ := set $flags "proxy-protocol" $peers }}{{ end -}}
{{- if eq (toString (get $config "use-forwarded-headers")) "true" }}{{ $_ := set $flags "trusted-proxy" $peers }}{{ end -}}
{{- $renamed := include "tidegate.renamed-flags" . | fromYaml -}}
{{- range $name, $value := $controller.extraArgs -}}
{{- $_ := set $flags (get $renamed $name | default $name) $value -}}
{{- end -}}
{{- toYaml $flags -}}
{{- end -}}

{{/* The container's arguments. */}}
{{- define "tidegate.arguments" -}}
- serve
{{- range $name, $value := include "tidegate.flags" . | fromYaml }}
{{- if or (kindIs "invalid" $value) (eq (toString $value) "") }}
- --{{ $name }}
{{- else if kindIs "slice" $value }}
- {{ printf "--%s=%s" $name (join "," $value) | quote }}
{{- else if and (kindIs "float64" $value) (eq $value (floor $value)) }}
- {{ printf "--%s=%d" $name (int64 $value) | quote }}
{{- else }}
- {{ printf "--%s=%s" $name (toString $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Security context of the Pods. */}}
{{- define "tidegate.pod-security" -}}
{{- $root := and .Values.controller.hostNetwork (include "tidegate.privileged-ports" .) -}}
{{- $context := dict "seccompProfile" .Values.controller.image.seccompProfile -}}
{{- if not $root }}{{ $_ := set $context "runAsNonRoot" .Values.controller.image.runAsNonRoot }}{{ end -}}
{{- $sysctls := deepCopy .Values.controller.sysctls -}}
{{- if and (include "tidegate.privileged-ports" .) (not .Values.controller.hostNetwork) -}}
{{- $sysctls = merge $sysctls (dict "net.ipv4.ip_unprivileged_port_start" "0") -}}
{{- end -}}
{{- $list := list -}}
{{- range $name, $value := $sysctls }}{{ $list = append $list (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- if $list }}{{ $_ := set $context "sysctls" $list }}{{ end -}}
{{- mergeOverwrite $context .Values.controller.podSecurityContext | toYaml -}}
{{- end -}}

{{/* Security context of the container. With the node's network and its low ports: uid 0 with the one capability that they take. */}}
{{- define "tidegate.container-security" -}}
{{- with .Values.controller.containerSecurityContext -}}
{{- toYaml . -}}
{{- else -}}
{{- $image := .Values.controller.image -}}
{{- $root := and .Values.controller.hostNetwork (include "tidegate.privileged-ports" .) -}}
runAsNonRoot: {{ ternary false $image.runAsNonRoot (not (empty $root)) }}
runAsUser: {{ ternary 0 (int64 $image.runAsUser) (not (empty $root)) }}
runAsGroup: {{ ternary 0 (int64 $image.runAsGroup) (not (empty $root)) }}
allowPrivilegeEscalation: {{ $image.allowPrivilegeEscalation }}
readOnlyRootFilesystem: {{ $image.readOnlyRootFilesystem }}
seccompProfile: {{ toJson $image.seccompProfile }}
capabilities:
  drop: [ALL]
  {{- if $root }}
  add: [NET_BIND_SERVICE]
  {{- end }}
{{- end -}}
{{- end -}}

{{/* A probe, at the port that health is on; takes (list $ probe). */}}
{{- define "tidegate.probe" -}}
{{- $probe := deepCopy (index . 1) -}}
{{- if eq (toString (dig "httpGet" "port" "" $probe)) "10254" -}}
{{- $_ := set $probe.httpGet "port" (int (index . 0).Values.controller.metrics.port) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{/* The readiness probe. ingress-nginx's page, which ours would answer too early, gives way to ours. */}}
{{- define "tidegate.readiness" -}}
{{- $probe := deepCopy .Values.controller.readinessProbe -}}
{{- if eq (dig "httpGet" "path" "" $probe) "/healthz" }}{{ $_ := set $probe.httpGet "path" "/readyz" }}{{ end -}}
{{- include "tidegate.probe" (list . $probe) -}}
{{- end -}}

{{/* Hooks of the container, but for ingress-nginx's own, which calls a program of its image. */}}
{{- define "tidegate.lifecycle" -}}
{{- $hooks := deepCopy .Values.controller.lifecycle -}}
{{- if has "/wait-shutdown" (dig "preStop" "exec" "command" list $hooks) }}{{ $hooks = omit $hooks "preStop" }}{{ end -}}
{{- if $hooks }}{{ toYaml $hooks }}{{ end -}}
{{- end -}}
