{{/* A flag's value as the server reads it. Helm keeps numbers as floats, whose text would be
1.073741824e+09. */}}
{{- define "lossd.flagText" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%d" (int64 .) -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* The flags that the chart computes from other values, as YAML. */}}
{{- define "lossd.ownFlags" -}}
listen: "{{ .Values.listenHost }}:{{ int .Values.ports.grpc }}"
metrics_listen: "{{ .Values.listenHost }}:{{ int .Values.ports.metrics }}"
drain_delay: {{ int .Values.drain.delaySeconds }}s
drain_timeout: {{ int .Values.drain.timeoutSeconds }}s
{{- if include "lossd.tlsSecret" . }}
tls_cert: /run/secrets/lossd/tls/tls.crt
tls_key: /run/secrets/lossd/tls/tls.key
{{- end }}
{{- if .Values.tls.clientCaSecret }}
tls_client_ca: /run/secrets/lossd/client-ca/{{ .Values.tls.clientCaKey }}
{{- end }}
{{- if .Values.tokens.secret }}
token_file: /run/secrets/lossd/tokens/{{ .Values.tokens.key }}
{{- end }}
{{- if include "lossd.sharesMemory" . }}
shared_memory_socket: /run/lossd/lossd.sock
max_shared_memory_bytes: {{ include "lossd.bytes" .Values.sharedMemory.max | quote }}
max_inflight_bytes: {{ include "lossd.inflightBytes" . | quote }}
max_inflight_requests: {{ include "lossd.inflightRequests" . | quote }}
max_message_bytes: {{ include "lossd.messageBytes" . | quote }}
{{- end }}
{{- if gt (int .Values.gpu.count) 0 }}
backend: cuda
{{- end }}
{{- end -}}

{{/* The flag file: the chart's own flags, then those of `flags`, each in the order of names. */}}
{{- define "lossd.flagFile" -}}
{{- $own := include "lossd.ownFlags" . | fromYaml -}}
{{- range $name, $value := merge (deepCopy .Values.flags) $own }}
--{{ $name }}={{ include "lossd.flagText" $value }}
{{- end }}
{{- end -}}
