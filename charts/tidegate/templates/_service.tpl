{{/* What the two Services for requests have in common; takes (list $ service ports targetPorts). */}}
{{- define "tidegate.service-spec" -}}
{{- $top := index . 0 -}}
{{- $service := index . 1 -}}
{{- $ports := index . 2 -}}
{{- $targets := index . 3 -}}
{{- $all := $top.Values.controller.service -}}
{{- $type := default $all.type $service.type -}}
type: {{ $type }}
{{- with $service.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with $service.clusterIPs }}
clusterIPs: {{ toJson . }}
{{- end }}
{{- with $service.externalIPs }}
externalIPs: {{ toJson . }}
{{- end }}
{{- if eq $type "LoadBalancer" }}
{{- with $service.loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with $service.loadBalancerSourceRanges }}
loadBalancerSourceRanges: {{ toJson . }}
{{- end }}
{{- with $service.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- if kindIs "bool" $service.allocateLoadBalancerNodePorts }}
allocateLoadBalancerNodePorts: {{ $service.allocateLoadBalancerNodePorts }}
{{- end }}
{{- end }}
{{- if ne $type "ClusterIP" }}
{{- with $service.externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- end }}
{{- with $service.sessionAffinity }}
sessionAffinity: {{ . }}
{{- end }}
{{- with $service.healthCheckNodePort }}
healthCheckNodePort: {{ . }}
{{- end }}
{{- with $service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with $service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- with $service.trafficDistribution }}
trafficDistribution: {{ . }}
{{- end }}
selector:
  {{- include "tidegate.controller.selector" $top | nindent 2 }}
ports:
{{- range $name := list "http" "https" }}
{{- if get $all (ternary "enableHttp" "enableHttps" (eq $name "http")) }}
- name: {{ $name }}
  port: {{ get $ports $name }}
  protocol: TCP
  targetPort: {{ get $targets $name }}
  {{- if $service.appProtocol }}
  appProtocol: {{ $name }}
  {{- end }}
  {{- $nodePort := get $service.nodePorts $name }}
  {{- if and $nodePort (ne $type "ClusterIP") }}
  nodePort: {{ $nodePort }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
