{{/* The Pod of a Deployment or DaemonSet. */}}
{{- define "tidegate.pod" -}}
{{- $controller := .Values.controller -}}
metadata:
  {{- with $controller.podAnnotations }}
  annotations:
    {{- range $name, $value := . }}
    {{ $name }}: {{ $value | quote }}
    {{- end }}
  {{- end }}
  labels:
    {{- include "tidegate.controller.labels" . | nindent 4 }}
    {{- with $controller.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidegate.service-account" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountServiceAccountToken }}
  # Services would become environment variables, and so perhaps flags.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $controller.terminationGracePeriodSeconds }}
  securityContext:
    {{- include "tidegate.pod-security" . | nindent 4 }}
  dnsPolicy: {{ $controller.dnsPolicy }}
  {{- with $controller.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.hostname }}
  hostname: {{ . | quote }}
  {{- end }}
  {{- if $controller.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- if $controller.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $controller.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $controller.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- with $controller.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- with $controller.extraInitContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
  - name: {{ $controller.containerName }}
    image: {{ include "tidegate.image" (list . $controller.image (default .Chart.AppVersion $controller.image.tag) "") | quote }}
    imagePullPolicy: {{ $controller.image.pullPolicy }}
    args:
      {{- include "tidegate.arguments" . | nindent 4 }}
    env:
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: POD_NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    {{- with $controller.extraEnvs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    - name: http
      containerPort: {{ include "tidegate.http-port" . }}
      protocol: TCP
      {{- if $controller.hostPort.enabled }}
      hostPort: {{ $controller.hostPort.ports.http }}
      {{- end }}
    - name: https
      containerPort: {{ include "tidegate.https-port" . }}
      protocol: TCP
      {{- if $controller.hostPort.enabled }}
      hostPort: {{ $controller.hostPort.ports.https }}
      {{- end }}
    {{- if $controller.metrics.enabled }}
    - name: {{ $controller.metrics.portName }}
      containerPort: {{ $controller.metrics.port }}
      protocol: TCP
    {{- end }}
    # What it says last, a wrong flag for example, stands in the status of the Pod.
    terminationMessagePolicy: FallbackToLogsOnError
    securityContext:
      {{- include "tidegate.container-security" . | nindent 6 }}
    livenessProbe:
      {{- include "tidegate.probe" (list . $controller.livenessProbe) | nindent 6 }}
    readinessProbe:
      {{- include "tidegate.readiness" . | nindent 6 }}
    {{- with $controller.startupProbe }}
    startupProbe:
      {{- include "tidegate.probe" (list $ .) | nindent 6 }}
    {{- end }}
    {{- with include "tidegate.lifecycle" . }}
    lifecycle:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with $controller.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $controller.extraVolumeMounts }}
    volumeMounts:
      {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $controller.extraContainers }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
  {{- with $controller.extraVolumes }}
  volumes:
    {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
