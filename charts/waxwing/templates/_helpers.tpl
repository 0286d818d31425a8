{{/* The chart's short name. */}}
{{- define "waxwing.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of all object names: the release's name, with the chart's unless it is in there. */}}
{{- define "waxwing.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := include "waxwing.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* What is cluster-scoped carries the namespace too: two releases may have the same name. */}}
{{- define "waxwing.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "waxwing.fullname" .) }}
{{- end }}

{{- define "waxwing.selectorLabels" -}}
app.kubernetes.io/name: {{ include "waxwing.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "waxwing.labels" -}}
{{ include "waxwing.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Without versions, so that the golden renders change with rights alone. */}}
{{- define "waxwing.rbacLabels" -}}
{{ include "waxwing.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "waxwing.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "waxwing.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is required with serviceAccount.create: false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "waxwing.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Who the roles are for. */}}
{{- define "waxwing.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "waxwing.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/*
The rights of the work itself, bound in the whole cluster or in each served namespace.
Secrets are created by POST, then patched; none is ever deleted, and the operator does not
write the spec of a SealedSecret.
*/}}
{{- define "waxwing.workRules" -}}
- apiGroups: [waxwing.dev]
  resources: [sealedsecrets, externalsecrets, secretstores]
  verbs: [list, watch]
- apiGroups: [waxwing.dev]
  resources: [alertmanagerinjections, grafanainjections, alertreceivers]
  verbs: [get, list, watch]
# Its finalizer: what it has put into Grafana is deleted there before it goes.
- apiGroups: [waxwing.dev]
  resources: [grafanainjections]
  verbs: [patch]
- apiGroups: [waxwing.dev]
  resources:
  - sealedsecrets/status
  - externalsecrets/status
  - secretstores/status
  - alertmanagerinjections/status
  - grafanainjections/status
  - alertreceivers/status
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch{{ if .Values.stores.deletion }}, delete{{ end }}]
# What stores refer to: certificates to trust, and which cloud identity a ServiceAccount has. Also the ConfigMap that an
# injection takes its document from.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
{{- if .Values.stores.rollouts }}
# Restarting what reads a Secret, where an ExternalSecret asks for it.
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, patch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* The commit of a synced object, see `gitops` in the values. */}}
{{- define "waxwing.sourceRules" -}}
- apiGroups: [kustomize.toolkit.fluxcd.io]
  resources: [kustomizations]
  verbs: [get]
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [get]
{{- end }}

{{/* The seconds of a duration such as `30d` or `1h30m`. */}}
{{- define "waxwing.seconds" -}}
{{- $sum := 0 }}
{{- range $unit, $seconds := dict "d" 86400 "h" 3600 "m" 60 "s" 1 }}
{{- with regexFind (printf "[0-9]+%s" $unit) $ }}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) $seconds) }}
{{- end }}
{{- end }}
{{- $sum }}
{{- end }}
