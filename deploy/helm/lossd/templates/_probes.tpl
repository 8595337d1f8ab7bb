{{/* The kind of the startup and readiness probes: grpc, exec or http. */}}
{{- define "lossd.probeType" -}}
{{- if ne .Values.probes.type "auto" -}}
{{- .Values.probes.type -}}
{{- else if or (include "lossd.tlsSecret" .) .Values.tokens.secret -}}
exec
{{- else -}}
grpc
{{- end -}}
{{- end -}}

{{/* The command of an exec probe. It connects to this very container: hostAliases leads the
certificate's name to loopback. */}}
{{- define "lossd.healthCommand" -}}
- lossctl
- health
- --timeout=2s
{{- if include "lossd.tlsSecret" . }}
- --target={{ include "lossd.probeName" . }}:{{ int .Values.ports.grpc }}
- --tls
{{- if .Values.tls.caKey }}
- --tls_ca=/run/secrets/lossd/tls/{{ .Values.tls.caKey }}
{{- end }}
{{- if .Values.tls.clientCaSecret }}
# With mutual TLS the server's own certificate serves as the client's.
- --tls_cert=/run/secrets/lossd/tls/tls.crt
- --tls_key=/run/secrets/lossd/tls/tls.key
{{- end }}
{{- else }}
- --target=localhost:{{ int .Values.ports.grpc }}
{{- end }}
{{- if .Values.tokens.probeKey }}
- --token_file=/run/secrets/lossd/tokens/{{ .Values.tokens.probeKey }}
{{- end }}
{{- end -}}

{{/* What asks the server whether it is serving. */}}
{{- define "lossd.healthCheck" -}}
{{- $type := include "lossd.probeType" . -}}
{{- if eq $type "grpc" -}}
# A gRPC probe takes the port's number, not its name.
grpc: {port: {{ int .Values.ports.grpc }}}
{{- else if eq $type "exec" -}}
exec:
  command:
    {{- include "lossd.healthCommand" . | nindent 4 }}
{{- else -}}
httpGet: {path: /healthz, port: metrics}
{{- end -}}
{{- end -}}
