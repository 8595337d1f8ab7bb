{{- define "lossd.pod" -}}
# The drain is cut off unless this is at least --drain_delay and --drain_timeout together. The
# chart adds a margin, and refuses less.
terminationGracePeriodSeconds: {{ include "lossd.graceSeconds" . }}
# Kubernetes would set variables such as LOSSD_PORT for a service called lossd, which lossd
# takes for flags.
enableServiceLinks: false
# The server never calls the API of Kubernetes.
automountServiceAccountToken: false
serviceAccountName: {{ include "lossd.serviceAccountName" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  # Secrets are readable by this group only.
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- if and (include "lossd.tlsSecret" .) (eq (include "lossd.probeType" .) "exec") }}
# The exec probe asks this container by the name in the certificate.
hostAliases:
  - {ip: "127.0.0.1", hostnames: [{{ include "lossd.probeName" . | quote }}]}
{{- end }}
{{- if and (include "lossd.sharesMemory" .) .Values.sharedMemory.prepareFolder }}
initContainers:
  # Kubernetes makes the folder for root, and the server is not root.
  - name: socket-folder
    image: {{ include "lossd.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [chown, "10001:10001", /run/lossd]
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 16Mi}}
    securityContext:
      runAsUser: 0
      runAsNonRoot: false
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL], add: [CHOWN]}
    volumeMounts:
      - {name: socket, mountPath: /run/lossd}
{{- end }}
containers:
  - {{ include "lossd.container" . | nindent 4 | trim }}
volumes:
  {{- include "lossd.volumes" . | nindent 2 }}
{{- include "lossd.placement" . }}
{{- end -}}

{{- define "lossd.container" -}}
name: lossd
image: {{ include "lossd.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: ["--flagfile=/etc/lossd/lossd.flags"]
ports:
  - {name: grpc, containerPort: {{ int .Values.ports.grpc }}}
  - {name: metrics, containerPort: {{ int .Values.ports.metrics }}}
# The server listens as soon as its devices are open, which takes longer on a GPU than on
# CPUs. Until this probe succeeds, the other two do not run.
startupProbe:
  {{- include "lossd.healthCheck" . | nindent 2 }}
  periodSeconds: 1
  timeoutSeconds: 3
  failureThreshold: {{ int .Values.probes.startupSeconds }}
# Health turns NOT_SERVING when a drain begins or when --backend=cuda has lost its last device.
# The pod then gets no new connections, but keeps the ones it has.
readinessProbe:
  {{- include "lossd.healthCheck" . | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
# This probe only asks for a listening socket, because a draining or overloaded server must not
# be killed. Kubernetes restarts a process that has ended without any probe.
livenessProbe:
  tcpSocket: {port: grpc}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
# The server divides what is allowed here by itself. README.md, "What a container needs", says
# what it does with less than 4 GiB.
resources:
  {{- $gpus := int .Values.gpu.count }}
  {{- $resources := deepCopy .Values.resources }}
  {{- if gt $gpus 0 }}
  {{- $_ := set $resources.limits .Values.gpu.resource $gpus }}
  {{- end }}
  {{- toYaml $resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: config, mountPath: /etc/lossd, readOnly: true}
  {{- if include "lossd.tlsSecret" . }}
  - {name: tls, mountPath: /run/secrets/lossd/tls, readOnly: true}
  {{- end }}
  {{- if .Values.tls.clientCaSecret }}
  - {name: client-ca, mountPath: /run/secrets/lossd/client-ca, readOnly: true}
  {{- end }}
  {{- if .Values.tokens.secret }}
  - {name: tokens, mountPath: /run/secrets/lossd/tokens, readOnly: true}
  {{- end }}
  {{- if include "lossd.sharesMemory" . }}
  - {name: socket, mountPath: /run/lossd}
  {{- end }}
{{- end -}}

{{- define "lossd.volumes" -}}
- name: config
  configMap: {name: {{ include "lossd.fullname" . }}}
{{- with include "lossd.tlsSecret" . }}
- name: tls
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.tls.clientCaSecret }}
- name: client-ca
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with .Values.tokens.secret }}
- name: tokens
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- if include "lossd.sharesMemory" . }}
- name: socket
  hostPath: {path: {{ .Values.sharedMemory.hostPath }}, type: DirectoryOrCreate}
{{- end }}
{{- end -}}

{{- define "lossd.placement" -}}
{{- with .Values.gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if kindIs "invalid" .Values.topologySpreadConstraints }}
{{- if eq .Values.kind "Deployment" }}
# One lost node takes as few servers with it as possible.
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lossd.selectorLabels" . | nindent 8 }}
{{- end }}
{{- else if .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .Values.topologySpreadConstraints | nindent 2 }}
{{- end }}
{{- end -}}
