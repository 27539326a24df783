{{/* The fields that all pods have, and restricted Pod Security. Of a dictionary: root, serviceAccountName. */}}
{{- define "wxlogin.pod" -}}
{{- with .root.Values }}
serviceAccountName: {{ $.serviceAccountName }}
automountServiceAccountToken: false
{{- /* A Service with the name wxlogin would become variables like WXLOGIN_PORT, which are no settings: no start. */}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
  {{- with .podSecurityContext }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the pods of a Deployment go. Of a dictionary: root, component. */}}
{{- define "wxlogin.placement" -}}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml . | nindent 4 }}
    labelSelector:
      matchLabels:
        {{- include "wxlogin.selectorLabels" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}

{{/* The volumes. Of a dictionary: root, secretName? of the Secret that the chart creates. */}}
{{- define "wxlogin.volumes" -}}
- name: secrets
  {{- with .root.Values.secrets }}
  {{- if .volume }}
  {{- toYaml .volume | nindent 2 }}
  {{- else }}
  secret:
    secretName: {{ default $.secretName .existingSecret }}
    defaultMode: 0440
  {{- end }}
  {{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "wxlogin.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The container's fields that depend on the settings: variables, secrets, mounts. Of the root. */}}
{{- define "wxlogin.container" -}}
image: {{ include "wxlogin.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- include "wxlogin.securityContext" . | nindent 2 }}
env:
  - name: WXLOGIN_SECRETS_DIR
    value: /etc/wxlogin/secrets
  - name: WXLOGIN_DRAIN_SECONDS
    value: {{ .Values.drain.seconds | toJson | quote }}
  {{- range $name, $value := .Values.settings }}
  - name: WXLOGIN_{{ upper $name }}
    {{- /* toJson, because Helm writes the number 2592000 as 2.592e+06. */}}
    value: {{ kindIs "slice" $value | ternary (join "," $value) (kindIs "string" $value | ternary $value (toJson $value)) | quote }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: secrets
    mountPath: /etc/wxlogin/secrets
    readOnly: true
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The container that creates the tables. Of the root. */}}
{{- define "wxlogin.migrate" -}}
name: migrate
args: [migrate]
{{ include "wxlogin.container" . }}
resources:
  {{- toYaml .Values.migration.resources | nindent 2 }}
{{- end }}

{{/* The Deployment of a component. Of a dictionary: root, component, suffix?, replicas?, graceSeconds, container. */}}
{{- define "wxlogin.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "wxlogin.metadata" (merge (dict "annotations" .root.Values.annotations) .) | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: {{ .root.Values.revisionHistoryLimit }}
  strategy:
    {{- with .root.Values.strategy }}
    {{- eq .type "Recreate" | ternary (dict "type" .type) . | toYaml | nindent 4 }}
    {{- end }}
  selector:
    matchLabels:
      {{- include "wxlogin.selectorLabels" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "wxlogin.labels" (merge (dict "labels" .root.Values.podLabels) .) | nindent 8 }}
      annotations:
        {{- $own := dict "checksum/secrets" (.root.Values.secrets | toJson | sha256sum) "kubectl.kubernetes.io/default-container" "wxlogin" }}
        {{- merge $own .root.Values.podAnnotations | toYaml | nindent 8 }}
    spec:
      {{- include "wxlogin.pod" (dict "root" .root "serviceAccountName" (include "wxlogin.serviceAccountName" .root)) | nindent 6 }}
      {{- include "wxlogin.placement" . | indent 6 }}
      terminationGracePeriodSeconds: {{ .graceSeconds }}
      {{- $migrates := eq .root.Values.migration.mode "initContainer" }}
      {{- if or $migrates .root.Values.extraInitContainers }}
      initContainers:
        {{- with .root.Values.extraInitContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- if $migrates }}
        - {{- include "wxlogin.migrate" .root | nindent 10 }}
        {{- end }}
      {{- end }}
      containers:
        - name: wxlogin
          {{- .container | nindent 10 }}
          {{- include "wxlogin.container" .root | nindent 10 }}
        {{- with .root.Values.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        {{- include "wxlogin.volumes" (dict "root" .root "secretName" (include "wxlogin.fullname" .root)) | nindent 8 }}
{{- end }}
