{{- define "lossd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Names may have 63 characters; the longest suffix is "-clients". */}}
{{- define "lossd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "lossd.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lossd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lossd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lossd.labels" -}}
{{ include "lossd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "lossd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "lossd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "lossd.image" -}}
{{- $tag := default (ternary "cuda" "latest" (gt (int .Values.gpu.count) 0)) .Values.image.tag -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end -}}

{{/* The secret with the server's certificate; empty without TLS. */}}
{{- define "lossd.tlsSecret" -}}
{{- if .Values.tls.certManager.enabled -}}
{{- printf "%s-tls" (include "lossd.fullname" .) -}}
{{- else -}}
{{- .Values.tls.secret -}}
{{- end -}}
{{- end -}}

{{- define "lossd.probeName" -}}
{{- default (printf "%s.%s.svc" (include "lossd.fullname" .) .Release.Namespace) .Values.tls.probeName -}}
{{- end -}}

{{/* "true" where the node's workers get shared memory, else empty. */}}
{{- define "lossd.sharesMemory" -}}
{{- if and (eq .Values.kind "DaemonSet") .Values.sharedMemory.enabled -}}true{{- end -}}
{{- end -}}
