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
