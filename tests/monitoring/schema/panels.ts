// What the dashboard may hold, after Grafana's own types: `const dashboard: Checked = ...` compiles or names the mistake.
import type { AnnotationQuery, Dashboard, DataQuery, FieldConfig, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type * as stateTimeline from '@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts';
import type * as stat from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts';
import type * as table from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts';
import type * as timeSeries from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts';

/** A type as JSON writes it: an enumeration of strings is one of its strings. */
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

interface Target {
  refId: string;
  datasource: { type: 'prometheus'; uid: '${datasource}' };
  editorMode: 'code';
  expr: string;
  legendFormat: string;
  instant: boolean;
  range: boolean;
  format?: 'time_series' | 'table';
}

type Property<Custom> = Exclude<keyof FieldConfig, 'custom'> | `custom.${keyof Custom & string}`;

type PanelOf<Type extends string, Options, Custom> = Omit<
  Json<Panel>,
  'type' | 'title' | 'description' | 'options' | 'fieldConfig' | 'targets'
> & {
  type: Type;
  title: string;
  description: string;
  targets: Target[];
  options: Json<Options>;
  fieldConfig: {
    defaults: Json<Omit<FieldConfig, 'custom'>> & { custom?: Json<Custom> };
    overrides: { matcher: { id: string; options: string }; properties: { id: Property<Custom>; value: unknown }[] }[];
  };
};

type AnyPanel =
  | PanelOf<'timeseries', timeSeries.Options, timeSeries.FieldConfig>
  | PanelOf<'stat', stat.Options, Record<never, never>>
  | PanelOf<'state-timeline', stateTimeline.Options, stateTimeline.FieldConfig>
  | PanelOf<'table', Omit<table.Options, 'frameIndex'>, table.FieldConfig>
  | Json<Omit<RowPanel, 'panels'>> & { panels: [] };

/** The Prometheus data source keeps these beside what all annotations and variables have. */
type Annotation = Json<Omit<AnnotationQuery, 'target'>> & {
  target: Json<DataQuery> & { expr: string };
  titleFormat: string;
  textFormat: string;
};
type Variable = Json<VariableModel> & { definition?: string };

export type Checked = Omit<Json<Dashboard>, 'panels' | 'annotations' | 'templating'> & {
  panels: AnyPanel[];
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};
