{{/* Rights, each with what it is for. A test takes every one away and sees something fail. */}}

{{/* On what Ingresses name, in every namespace that is watched. */}}
{{- define "tidegate.rules.namespaced" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
# Certificates. Secrets of Helm and of ServiceAccounts are never asked for.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Addresses, for whoever waits for them.
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
{{ include "tidegate.rules.events" . }}
{{- end -}}

{{/* What is wrong with an object. That of objects without a namespace is told in the namespace "default". */}}
{{- define "tidegate.rules.events" -}}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* On what no namespace holds. */}}
{{- define "tidegate.rules.cluster" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
- apiGroups: [tidegate.dev]
  resources: [classparameters]
  verbs: [list, watch]
- apiGroups: [tidegate.dev]
  resources: [classparameters/status]
  verbs: [patch]
{{- end -}}

{{/* "true" where the Lease is the release's own: it is made with it, and goes with it. One that is there already stays its maker's. */}}
{{- define "tidegate.own-lease" -}}
{{- $found := lookup "coordination.k8s.io/v1" "Lease" (include "tidegate.namespace" .) (include "tidegate.lease" .) -}}
{{- if or (empty $found) (eq (dig "metadata" "annotations" "meta.helm.sh/release-name" "" $found) .Release.Name) -}}true{{- end -}}
{{- end -}}

{{/* On the nodes whose addresses are published, and on the Pods that run there. */}}
{{- define "tidegate.rules.nodes" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end -}}
{{- define "tidegate.rules.pods" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end -}}

{{/* On the Lease that replicas elect by. A name cannot limit creation, which is only needed where the Lease may go. */}}
{{- define "tidegate.rules.lease" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "tidegate.lease" . | quote }}]
  verbs: [get, update]
{{- if not (include "tidegate.own-lease" .) }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end }}
{{- end -}}

{{/* Rules of Roles by namespace, as YAML: every namespace that rights are needed in. */}}
{{- define "tidegate.roles" -}}
{{- $own := include "tidegate.namespace" . -}}
{{- $watched := without (splitList "," (include "tidegate.watched" .)) "" -}}
{{- $roles := dict $own (include "tidegate.rules.lease" .) -}}
{{- range $watched -}}
{{- $_ := set $roles . (list (get $roles .) (include "tidegate.rules.namespaced" $) | compact | join "\n") -}}
{{- end -}}
{{- $published := splitn "/" 2 (include "tidegate.published" .) -}}
{{- if and $watched $published._1 (not (has $published._0 $watched)) -}}
{{- $rule := printf "- apiGroups: [\"\"]\n  resources: [services]\n  resourceNames: [%q]\n  verbs: [list, watch]" $published._1 -}}
{{- $_ := set $roles $published._0 (list (get $roles $published._0) $rule | compact | join "\n") -}}
{{- end -}}
{{- if and $watched (not .Values.rbac.scope) (not (has "default" $watched)) -}}
{{- $_ := set $roles "default" (list (get $roles "default") (include "tidegate.rules.events" .) | compact | join "\n") -}}
{{- end -}}
{{- with (splitn "/" 2 (include "tidegate.published-nodes" .))._0 -}}
{{- $_ := set $roles . (list (get $roles .) (include "tidegate.rules.pods" $) | compact | join "\n") -}}
{{- end -}}
{{- toYaml $roles -}}
{{- end -}}
