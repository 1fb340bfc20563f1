{{- define "weir.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.labels" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Of one kind of pod: dict "of" . "component" "job-manager" */}}
{{- define "weir.selector" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/instance: {{ .of.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* dict "of" . "image" (values of an image, or none) */}}
{{- define "weir.image" -}}
{{- $of := .of.Values.image -}}
{{- $image := .image | default $of -}}
{{- if $image.digest -}}
{{ $of.repository }}@{{ $image.digest }}
{{- else -}}
{{ $of.repository }}:{{ required "image.tag or image.digest must be set" $image.tag }}
{{- end -}}
{{- end -}}

{{- define "weir.jobManagers" -}}
{{- $name := include "weir.name" . -}}
{{- $all := list -}}
{{- range $i := until (int .Values.jobManager.replicas) -}}
{{- $all = append $all (printf "%s-job-manager-%d.%s-job-manager:7070" $name $i $name) -}}
{{- end -}}
{{- if and .Values.istio.enabled .Values.istio.canary.enabled -}}
{{- $all = append $all (printf "%s-job-manager-canary-0.%s-job-manager:7070" $name $name) -}}
{{- end -}}
{{- join "," $all -}}
{{- end -}}

{{/* What both kinds of processes read. */}}
{{- define "weir.environment" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: WEIR_HOST
  value: 0.0.0.0
- name: WEIR_GRPC_PORT
  value: '7070'
- name: WEIR_HTTP_PORT
  value: '7080'
- name: WEIR_DATA_DIR
  value: /data
- name: WEIR_LOG_LEVEL
  value: {{ .Values.logLevel }}
- name: WEIR_FLEET_TOKEN
  valueFrom: { secretKeyRef: { name: {{ .Values.fleetToken.secret }}, key: {{ .Values.fleetToken.key }} } }
- name: WEIR_S3_BUCKET
  value: {{ .Values.s3.bucket }}
- name: WEIR_S3_REGION
  value: {{ .Values.s3.region }}
{{- with .Values.s3.endpoint }}
- name: WEIR_S3_ENDPOINT
  value: {{ . }}
{{- end }}
{{- with .Values.s3.prefix }}
- name: WEIR_S3_PREFIX
  value: {{ . }}
{{- end }}
- name: WEIR_S3_ACCESS_KEY
  valueFrom: { secretKeyRef: { name: {{ .Values.s3.secret }}, key: accessKey } }
- name: WEIR_S3_SECRET_KEY
  valueFrom: { secretKeyRef: { name: {{ .Values.s3.secret }}, key: secretKey } }
{{- if .Values.tls.enabled }}
- name: WEIR_TLS_CERT
  value: /tls/tls.crt
- name: WEIR_TLS_KEY
  value: /tls/tls.key
- name: WEIR_TLS_CA
  value: /tls/ca.crt
- name: WEIR_TLS_SERVER_NAME
  value: {{ .Values.tls.serverName }}
{{- end }}
{{- with .Values.bundleSignature }}
{{- if .configMap }}
- name: WEIR_BUNDLE_KEYS
  value: {{ include "weir.bundleKeys" . }}
{{- else if .keys }}
{{- fail "bundleSignature.keys are keys of bundleSignature.configMap: name it" }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "weir.bundleKeys" -}}
{{- $paths := list -}}
{{- range .keys -}}{{- $paths = append $paths (printf "/bundle-keys/%s" .) -}}{{- end -}}
{{- if not $paths -}}{{- fail "bundleSignature.keys is empty: no bundle would ever run" -}}{{- end -}}
{{- join "," $paths -}}
{{- end -}}

{{/* For those that speak with Kafka. Credentials are files, so that no environment has them. */}}
{{- define "weir.kafkaEnvironment" -}}
{{- $kafka := .Values.kafka -}}
- name: WEIR_KAFKA_BROKERS
  value: {{ join "," $kafka.brokers }}
{{- if $kafka.tls.enabled }}
- name: WEIR_KAFKA_TLS
  value: 'on'
{{- if $kafka.tls.secret }}
- name: WEIR_KAFKA_TLS_CA
  value: /kafka-tls/ca.crt
{{- end }}
{{- if $kafka.tls.clientCertificate }}
- name: WEIR_KAFKA_TLS_CERT
  value: {{ $_ := required "kafka.tls.clientCertificate needs kafka.tls.secret" $kafka.tls.secret }}/kafka-tls/tls.crt
- name: WEIR_KAFKA_TLS_KEY
  value: /kafka-tls/tls.key
{{- end }}
{{- end }}
{{- if $kafka.sasl.mechanism }}
{{- if and (eq $kafka.sasl.mechanism "plain") (not $kafka.tls.enabled) }}
{{- fail "kafka.sasl.mechanism plain sends the password as it is: set kafka.tls.enabled, or use scram-sha-512" }}
{{- end }}
- name: WEIR_KAFKA_SASL
  value: {{ $_ := required "kafka.sasl.mechanism needs kafka.sasl.secret" $kafka.sasl.secret }}{{ $kafka.sasl.mechanism }}
- name: WEIR_KAFKA_USERNAME
  value: file:/kafka-sasl/username
- name: WEIR_KAFKA_PASSWORD
  value: file:/kafka-sasl/password
{{- end }}
{{- end -}}

{{/* Of both kinds of processes, what is read only: dict "of" . "kafka" bool */}}
{{- define "weir.securityMounts" -}}
{{- $v := .of.Values -}}
{{- if $v.tls.enabled }}
- { name: tls, mountPath: /tls, readOnly: true }
{{- end }}
{{- if $v.bundleSignature.configMap }}
- { name: bundle-keys, mountPath: /bundle-keys, readOnly: true }
{{- end }}
{{- if and .kafka $v.kafka.tls.enabled $v.kafka.tls.secret }}
- { name: kafka-tls, mountPath: /kafka-tls, readOnly: true }
{{- end }}
{{- if and .kafka $v.kafka.sasl.mechanism }}
- { name: kafka-sasl, mountPath: /kafka-sasl, readOnly: true }
{{- end }}
{{- end -}}

{{- define "weir.securityVolumes" -}}
{{- $v := .of.Values -}}
{{- if $v.tls.enabled }}
- { name: tls, secret: { secretName: {{ $v.tls.secret }}, defaultMode: 288 } }
{{- end }}
{{- if $v.bundleSignature.configMap }}
- { name: bundle-keys, configMap: { name: {{ $v.bundleSignature.configMap }} } }
{{- end }}
{{- if and .kafka $v.kafka.tls.enabled $v.kafka.tls.secret }}
- { name: kafka-tls, secret: { secretName: {{ $v.kafka.tls.secret }}, defaultMode: 288 } }
{{- end }}
{{- if and .kafka $v.kafka.sasl.mechanism }}
- { name: kafka-sasl, secret: { secretName: {{ $v.kafka.sasl.secret }}, defaultMode: 288 } }
{{- end }}
{{- end -}}

{{- define "weir.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "weir.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end -}}

{{/* A process that does not answer is restarted late, one that knows no leader takes no calls at once. */}}
{{- define "weir.probes" -}}
startupProbe:
  httpGet: { path: /livez, port: http }
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /livez, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 2
  timeoutSeconds: 2
{{- end -}}

{{/* Not all of them on one node, nor in one zone, where that can be had. */}}
{{- define "weir.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: { {{- include "weir.selector" . | replace "\n" ", " }} } }
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: { matchLabels: { {{- include "weir.selector" . | replace "\n" ", " }} } }
{{- end -}}
