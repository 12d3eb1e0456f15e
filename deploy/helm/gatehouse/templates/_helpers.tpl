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

{{/* Whether control has a library: not empty if so. */}}
{{- define "gatehouse.library" -}}
{{- with .Values.library }}
{{- if and .blobs .claim }}{{ fail "library.blobs and library.claim are two places: say one" }}{{ end }}
{{- if and .blobs (not (and .s3.endpoint $.Values.secrets.libraryS3)) }}{{ fail "library.blobs needs library.s3.endpoint and secrets.libraryS3" }}{{ end }}
{{- if or .blobs .claim }}yes{{ end }}
{{- end }}
{{- end }}

{{/* Through which gateways the library calls models; empty: none. */}}
{{- define "gatehouse.library-gateway" -}}
{{- if .Values.library.gateway }}{{ .Values.library.gateway }}
{{- else if .Values.gateway.enabled }}{{ printf "https://%s-gateway.%s.svc:%v" (include "gatehouse.name" .) .Release.Namespace .Values.gateway.service.port }}
{{- else if or .Values.library.embeddingModel .Values.library.describeModel }}{{ fail "library.gateway is required with a model where the release has no gateways" }}
{{- end }}
{{- end }}

{{- define "gatehouse.library-env" -}}
{{- $gateway := include "gatehouse.library-gateway" . }}
{{- with .Values.library }}
- { name: GATEHOUSE_LIBRARY_BLOBS, value: {{ .blobs | default "/srv/gatehouse/blobs" | quote }} }
{{- if .blobs }}
- { name: GATEHOUSE_LIBRARY_S3_ENDPOINT, value: {{ .s3.endpoint | quote }} }
- { name: GATEHOUSE_LIBRARY_S3_ACCESS_KEY_FILE, value: /run/gatehouse/s3/accessKey }
- { name: GATEHOUSE_LIBRARY_S3_SECRET_KEY_FILE, value: /run/gatehouse/s3/secretKey }
{{- end }}
{{- range $name, $value := dict "S3_REGION" .s3.region "GATEWAY" $gateway "PUBLIC_URL" .publicURL "EMBEDDING_MODEL" .embeddingModel "DESCRIBE_MODEL" .describeModel }}
{{- with $value }}
- { name: GATEHOUSE_LIBRARY_{{ $name }}, value: {{ . | quote }} }
{{- end }}
{{- end }}
- { name: GATEHOUSE_LIBRARY_WORKERS, value: {{ int64 .workers | quote }} }
- { name: GATEHOUSE_LIBRARY_MAX_FILE_BYTES, value: {{ int64 .maxFileBytes | quote }} }
- { name: GATEHOUSE_LIBRARY_MAX_FILES, value: {{ int64 .maxFiles | quote }} }
- { name: GATEHOUSE_LIBRARY_MAX_BYTES, value: {{ int64 .maxBytes | quote }} }
# Beside the system's roots: gateways and buckets inside are often of a CA of one's own.
- { name: SSL_CERT_DIR, value: "/etc/ssl/certs:/run/gatehouse/ca" }
{{- end }}
{{- end }}

{{- define "gatehouse.library-mounts" -}}
- { name: spool, mountPath: /var/lib/gatehouse/spool }
- { name: ca, mountPath: /run/gatehouse/ca, readOnly: true }
{{- if .Values.library.claim }}
- { name: blobs, mountPath: /srv/gatehouse }
{{- else }}
- { name: s3, mountPath: /run/gatehouse/s3, readOnly: true }
{{- end }}
{{- end }}

{{- define "gatehouse.library-volumes" -}}
- name: spool
  emptyDir: { sizeLimit: {{ .Values.library.spool.size }} }
- name: ca
  secret: { secretName: {{ .Values.secrets.tls.name }}, defaultMode: 0440, optional: true, items: [{ key: ca.crt, path: ca.crt }] }
{{- if .Values.library.claim }}
- name: blobs
  persistentVolumeClaim: { claimName: {{ .Values.library.claim }} }
{{- else }}
- name: s3
  secret:
    secretName: {{ .Values.secrets.libraryS3 }}
    defaultMode: 0440
    items: [{ key: accessKey, path: accessKey }, { key: secretKey, path: secretKey }]
{{- end }}
{{- end }}

{{/* The port of a URL. */}}
{{- define "gatehouse.port" -}}
{{- $url := urlParse . -}}
{{ regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "80" "443" (eq $url.scheme "http")) }}
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
