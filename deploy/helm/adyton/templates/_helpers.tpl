{{- define "adyton.name" -}}
{{ printf "%s-adyton" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- define "adyton.selector" -}}
app.kubernetes.io/name: adyton
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "adyton.labels" -}}
{{ include "adyton.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}
