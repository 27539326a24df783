{{/*
What the schema cannot say, and what it must not: its messages have the value, and these are secrets.
Fails with a sentence that names the values.
*/}}
{{- define "wxlogin.check" -}}
{{- with .Values.secrets }}
{{- $sources := list }}
{{- range $name := list "existingSecret" "volume" "create" }}
{{- if index $.Values.secrets $name }}{{ $sources = append $sources $name }}{{ end }}
{{- end }}
{{- if ne (len $sources) 1 }}
{{- fail "secrets: set exactly one of secrets.existingSecret (recommended), secrets.volume and secrets.create" }}
{{- end }}
{{- with .create }}
{{- if not (regexMatch "^(postgresql\\+asyncpg|(mysql|mariadb)\\+asyncmy)://" (default "" .database_url)) }}
{{- fail "secrets.create.database_url: must start with postgresql+asyncpg://, mysql+asyncmy:// or mariadb+asyncmy://; pods cannot share a file of SQLite" }}
{{- end }}
{{- if and .redis_url (not (regexMatch "^rediss?(\\+cluster|\\+sentinel)?://" .redis_url)) }}
{{- fail "secrets.create.redis_url: must start with redis://, redis+cluster:// or redis+sentinel://, or the same with rediss" }}
{{- end }}
{{- if not .encryption_keys }}
{{- fail "secrets.create.encryption_keys: is missing; `wxlogin keygen` prints a key" }}
{{- end }}
{{- range .encryption_keys }}
{{- if not (regexMatch "^[A-Za-z0-9_-]{43}=$" .) }}
{{- fail "secrets.create.encryption_keys: has something that is not a key; `wxlogin keygen` prints one" }}
{{- end }}
{{- end }}
{{- if not (or .apps (and .app_secret $.Values.settings.appid)) }}
{{- fail "there is no app: set settings.appid and secrets.create.app_secret, or secrets.create.apps" }}
{{- end }}
{{- if and $.Values.worker.enabled (not .redis_url) }}
{{- fail "worker.enabled: the worker's queue is in Redis; set secrets.create.redis_url" }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
{{- fail "autoscaling.minReplicas: is more than autoscaling.maxReplicas" }}
{{- end }}
{{- if not (or .targetCPUUtilizationPercentage .targetMemoryUtilizationPercentage) }}
{{- fail "autoscaling: set autoscaling.targetCPUUtilizationPercentage or autoscaling.targetMemoryUtilizationPercentage" }}
{{- end }}
{{- if and .targetCPUUtilizationPercentage (not (dig "requests" "cpu" "" $.Values.resources)) }}
{{- fail "autoscaling.targetCPUUtilizationPercentage: needs resources.requests.cpu" }}
{{- end }}
{{- if and .targetMemoryUtilizationPercentage (not (dig "requests" "memory" "" $.Values.resources)) }}
{{- fail "autoscaling.targetMemoryUtilizationPercentage: needs resources.requests.memory" }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.service }}
{{- if and (eq .type "ClusterIP") (or .nodePort .externalTrafficPolicy) }}
{{- fail "service.type: ClusterIP has no service.nodePort and no service.externalTrafficPolicy" }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (eq (toString .Values.settings.metrics) "false") }}
{{- fail "serviceMonitor.enabled: there are no metrics, because settings.metrics is false" }}
{{- end }}
{{- end }}
