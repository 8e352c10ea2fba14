{{/* Values that were given and have no meaning here, a line each. */}}
{{- define "tidegate.unused" -}}
{{- $understood := list "use-proxy-protocol" "use-forwarded-headers" "proxy-real-ip-cidr" -}}
{{- range .Files.Get "files/unused-values.yaml" | fromYamlArray -}}
{{- $at := $.Values -}}
{{- $found := true -}}
{{- range splitList "." (trimSuffix ".*" .path) -}}
{{- if and $found (kindIs "map" $at) (hasKey $at .) -}}
{{- $at = get $at . -}}
{{- else -}}
{{- $found = false -}}
{{- end -}}
{{- end -}}
{{- $instead := ternary (printf " (%s)" .instead) "" (ne .instead "") -}}
{{- if and $found (hasSuffix ".*" .path) -}}
{{- $path := trimSuffix ".*" .path -}}
{{- range $key, $_ := $at -}}
{{- if not (has $key $understood) }}
  - {{ $path }}.{{ $key }}{{ $instead }}
{{- end -}}
{{- end -}}
{{- else if $found }}
  - {{ .path }}{{ $instead }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that were given and that others keep from having an effect, a line each. */}}
{{- define "tidegate.overruled" -}}
{{- $controller := .Values.controller -}}
{{- $metrics := $controller.metrics -}}
{{- range list "serviceMonitor" "prometheusRule" }}
{{- if and (get $metrics .).enabled (not $metrics.enabled) }}
  - controller.metrics.{{ . }}.enabled (takes controller.metrics.enabled)
{{- end }}
{{- end }}
{{- if and $metrics.enabled $metrics.serviceMonitor.enabled (not $metrics.service.enabled) }}
  - controller.metrics.serviceMonitor.enabled (finds Pods through controller.metrics.service alone, which is not enabled)
{{- end }}
{{- $daemons := eq $controller.kind "DaemonSet" }}
{{- if and $daemons $controller.autoscaling.enabled }}
  - controller.autoscaling.enabled (a DaemonSet has a Pod on every node)
{{- end }}
{{- if and (ne (int $controller.replicaCount) 1) (or $daemons $controller.autoscaling.enabled) }}
  - controller.replicaCount ({{ ternary "a DaemonSet has a Pod on every node" "controller.autoscaling decides" $daemons }})
{{- end }}
{{- if and $daemons (not (kindIs "invalid" $controller.maxUnavailable)) }}
  - controller.maxUnavailable (no budget is made for a DaemonSet)
{{- end }}
{{- if not $controller.containerSecurityContext }}
{{- range list "runAsUser" "runAsGroup" "runAsNonRoot" }}
{{- if hasKey $controller.podSecurityContext . }}
  - controller.podSecurityContext.{{ . }} (the container has that of controller.image)
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
