{{- define "gatehouse.name" -}}
{{- if contains "gatehouse" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-gatehouse" (.Release.Name | trunc 30 | trimSuffix "-") }}{{ end }}
{{- end }}

{{/* Labels of everything; call with (list . "control"). */}}
{{- define "gatehouse.labels" -}}
{{- $top := index . 0 -}}
{{ include "gatehouse.selector" . }}
app.kubernetes.io/version: {{ $top.Values.image.tag | default $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version }}
{{- end }}

{{- define "gatehouse.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: gatehouse
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "gatehouse.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "gatehouse.pod-security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "gatehouse.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Liveness asks whether the process answers, and nothing of what it depends
on: a database that is away must not restart every pod. */}}
{{- define "gatehouse.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 2
  failureThreshold: 90
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{- define "gatehouse.env" -}}
- { name: GATEHOUSE_LOG_LEVEL, value: {{ .Values.logLevel | quote }} }
- { name: GATEHOUSE_TLS_CERT, value: /run/gatehouse/tls/tls.crt }
- { name: GATEHOUSE_TLS_KEY, value: /run/gatehouse/tls/tls.key }
{{- if .Values.secrets.authority.name }}
- { name: GATEHOUSE_AUTHORITY_FILE, value: /run/gatehouse/authority/url }
{{- end }}
{{- if .Values.telemetry.endpoint }}
- { name: GATEHOUSE_TELEMETRY_OTLP_ENDPOINT, value: {{ .Values.telemetry.endpoint | quote }} }
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "gatehouse.mounts" -}}
- { name: tls, mountPath: /run/gatehouse/tls, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- if .Values.secrets.authority.name }}
- { name: authority, mountPath: /run/gatehouse/authority, readOnly: true }
{{- end }}
{{- end }}

{{- define "gatehouse.volumes" -}}
- name: tls
  secret: { secretName: {{ .Values.secrets.tls.name }}, defaultMode: 0440 }
- name: tmp
  emptyDir: {}
{{- with .Values.secrets.authority }}
{{- if .name }}
- name: authority
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{ key: {{ .key }}, path: url }]
{{- end }}
{{- end }}
{{- end }}

{{- define "gatehouse.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
