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
