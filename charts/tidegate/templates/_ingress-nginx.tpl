{{/* Values may use templates (affinity, topologySpreadConstraints); those of ingress-nginx's users use these by its names. */}}
{{- define "ingress-nginx.name" -}}{{ include "tidegate.name" . }}{{- end -}}
{{- define "ingress-nginx.fullname" -}}{{ include "tidegate.fullname" . }}{{- end -}}
{{- define "ingress-nginx.controller.fullname" -}}{{ include "tidegate.controller" . }}{{- end -}}
{{- define "ingress-nginx.selectorLabels" -}}{{ include "tidegate.selector" . }}{{- end -}}
