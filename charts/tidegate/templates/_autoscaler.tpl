{{/* A HorizontalPodAutoscaler's spec; takes (list name autoscaling further-metrics). */}}
{{- define "tidegate.autoscaler-spec" -}}
{{- $scaling := index . 1 -}}
scaleTargetRef:
  apiVersion: apps/v1
  kind: Deployment
  name: {{ index . 0 }}
minReplicas: {{ $scaling.minReplicas }}
maxReplicas: {{ $scaling.maxReplicas }}
metrics:
{{- with $scaling.targetMemoryUtilizationPercentage }}
- type: Resource
  resource: {name: memory, target: {type: Utilization, averageUtilization: {{ . }}}}
{{- end }}
{{- with $scaling.targetCPUUtilizationPercentage }}
- type: Resource
  resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ . }}}}
{{- end }}
{{- with index . 2 }}
{{ toYaml . }}
{{- end }}
{{- with $scaling.behavior }}
behavior:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
