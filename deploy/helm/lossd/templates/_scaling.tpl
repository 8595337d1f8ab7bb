{{- define "lossd.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 30
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
    - {type: Pods, value: 2, periodSeconds: 60}
# The quotient falls to almost nothing as soon as there is room, so servers go one by one.
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end }}
