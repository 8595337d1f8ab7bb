{{/* The bytes of a quantity: 4Gi, 512Mi, 1G, 1000000. The caller's schema has refused others. */}}
{{- define "lossd.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := include "lossd.flagText" . -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text -}}
{{- $unit := get $units (trimPrefix $number $text) -}}
{{- mulf (float64 $number) $unit | int64 -}}
{{- end -}}

{{/* The bytes of the limit that are left for requests beside shared memory. */}}
{{- define "lossd.usableBytes" -}}
{{- $limit := include "lossd.bytes" .Values.resources.limits.memory | int64 -}}
{{- if include "lossd.sharesMemory" . -}}
{{- sub $limit (include "lossd.bytes" .Values.sharedMemory.max | int64) -}}
{{- else -}}
{{- $limit -}}
{{- end -}}
{{- end -}}

{{/* --max_inflight_requests, as given or as the server would choose it. */}}
{{- define "lossd.inflightRequests" -}}
{{- $chosen := min 4096 (div (include "lossd.usableBytes" . | int64) (mul 16 65535)) -}}
{{- $given := get .Values.flags "max_inflight_requests" | int64 -}}
{{- ternary $given $chosen (gt $given 0) -}}
{{- end -}}

{{/* --max_inflight_bytes, as given or as the server would choose it: four ninths of what is
left after its own 56 MiB and gRPC's windows. */}}
{{- define "lossd.inflightBytes" -}}
{{- $windows := div (mul (include "lossd.inflightRequests" . | int64) 65535 5) 4 -}}
{{- $left := sub (include "lossd.usableBytes" . | int64) (add (mul 56 1048576) $windows) -}}
{{- $given := get .Values.flags "max_inflight_bytes" | int64 -}}
{{- ternary $given (max 0 (min 1073741824 (div (mul $left 4) 9))) (gt $given 0) -}}
{{- end -}}

{{/* --max_message_bytes, as given or such that one message needs no more than the budget. */}}
{{- define "lossd.messageBytes" -}}
{{- $given := get .Values.flags "max_message_bytes" | int64 -}}
{{- ternary $given (min 268435456 (include "lossd.inflightBytes" . | int64)) (gt $given 0) -}}
{{- end -}}

{{/* The most that the process takes without shared memory: README.md, "What a container needs". */}}
{{- define "lossd.neededBytes" -}}
{{- $requests := include "lossd.inflightRequests" . | int64 -}}
{{- $bytes := include "lossd.inflightBytes" . | int64 -}}
{{- /* One message may be received whatever the budget. */ -}}
{{- $message := max $bytes (include "lossd.messageBytes" . | int64) -}}
{{- add (mul 56 1048576) $bytes (div (mul $message 5) 4) (div (mul $requests 65535 5) 4) -}}
{{- end -}}
