{{/* The name of the chart, which is a label of all objects. */}}
{{- define "wxlogin.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* The name of the objects: short enough for a suffix. */}}
{{- define "wxlogin.fullname" -}}
{{- $name := include "wxlogin.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* What finds the pods of the release: never changes. Add the component. */}}
{{- define "wxlogin.selectorLabels" -}}
app.kubernetes.io/name: {{ include "wxlogin.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The labels of an object or a pod. Of a dictionary: root, component?, labels?. */}}
{{- define "wxlogin.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "wxlogin.selectorLabels" .root }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with merge (dict) (default dict .labels) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object. Of a dictionary: root, suffix?, component?, labels?, annotations?. */}}
{{- define "wxlogin.metadata" -}}
name: {{ include "wxlogin.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "wxlogin.labels" . | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The annotations of what exists only for the migration, before the release's own objects do. Of a weight. */}}
{{- define "wxlogin.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- define "wxlogin.serviceAccountName" -}}
{{- $own := ternary (include "wxlogin.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $own .Values.serviceAccount.name }}
{{- end }}

{{/*
The public paths with their types, as in an Ingress. A Prefix ends in a slash, because Traefik compares characters, and
/oauth2/device_authorization is not public.
*/}}
{{- define "wxlogin.publicPaths" -}}
/login: Exact
/login/: Exact
/v1/: Prefix
/wechat/push/: Prefix
/oauth2/device: Exact
/oauth2/device/: Prefix
/.well-known/jwks.json: Exact
/.well-known/oauth-authorization-server: Exact
{{- end }}

{{/* Of the Job, which runs before the release's objects exist. */}}
{{- define "wxlogin.migrationServiceAccountName" -}}
{{- $existing := ternary "default" (include "wxlogin.serviceAccountName" .) .Values.serviceAccount.create }}
{{- default $existing .Values.migration.serviceAccountName }}
{{- end }}

{{- define "wxlogin.image" -}}
{{- with .Values.image }}
{{- $name := required "image.repository is missing: push the image that `make image` builds, and name it" .repository }}
{{- with .registry }}{{ . }}/{{ end }}{{ $name }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* The seconds that a pod of the service gets to stop. wxlogin needs 13 beyond its drain. */}}
{{- define "wxlogin.graceSeconds" -}}
{{- add .Values.drain.preStopSeconds (ceil .Values.drain.seconds) 15 }}
{{- end }}
