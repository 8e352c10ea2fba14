{{/* Names and labels. They are made as the ingress-nginx chart makes its own, so that `nameOverride: ingress-nginx` gives equal ones. */}}

{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "tidegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tidegate.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "tidegate.controller" -}}
{{- printf "%s-%s" (include "tidegate.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidegate.default-backend" -}}
{{- printf "%s-%s" (include "tidegate.fullname" .) .Values.defaultBackend.name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tidegate.service-account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tidegate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.default-backend.service-account" -}}
{{- if .Values.defaultBackend.serviceAccount.create -}}
{{- default (printf "%s-backend" (include "tidegate.fullname" .)) .Values.defaultBackend.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.defaultBackend.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.lease" -}}
{{- default (printf "%s-leader" (include "tidegate.fullname" .)) .Values.controller.electionID -}}
{{- end -}}

{{/* What selects Pods, and can never change. */}}
{{- define "tidegate.selector" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels of everything. */}}
{{- define "tidegate.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tidegate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "tidegate.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "tidegate.controller.selector" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "tidegate.controller.labels" -}}
{{ include "tidegate.labels" . }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "tidegate.default-backend.selector" -}}
{{ include "tidegate.selector" . }}
app.kubernetes.io/component: default-backend
{{- end -}}

{{- define "tidegate.default-backend.labels" -}}
{{ include "tidegate.labels" . }}
app.kubernetes.io/component: default-backend
{{- end -}}

{{/* The image of a map with registry, image, repository, tag and digest; takes (list $ map tag registry), the last for where no value
names one. */}}
{{- define "tidegate.image" -}}
{{- $top := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := coalesce $image.registry $top.Values.global.image.registry (index . 3) "" | default "" -}}
{{- $name := $image.repository | default (ternary (printf "%s/%s" $registry $image.image) $image.image (ne $registry "")) -}}
{{- if $image.digest -}}
{{- printf "%s:%s@%s" $name (index . 2) $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (index . 2) -}}
{{- end -}}
{{- end -}}
