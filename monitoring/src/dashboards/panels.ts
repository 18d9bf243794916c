/**
 * Our few kinds of panels on top of Grafana's Foundation SDK. Everything that is drawn goes through here, so that all dashboards
 * look alike, and so that the local page (page/) need not know more of Grafana's JSON than this.
 */
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  GraphDrawStyle,
  GraphGradientMode,
  BigValueColorMode,
  BigValueGraphMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  StackingConfigBuilder,
  StackingMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  QueryVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
  type Dashboard,
  type Panel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as StatBuilder } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as TableBuilder } from "@grafana/grafana-foundation-sdk/table";
import { PanelBuilder as TimeseriesBuilder } from "@grafana/grafana-foundation-sdk/timeseries";

/** The uid of the data source that provisioning makes. */
export const DATASOURCE = { type: "prometheus", uid: "hongbao" };
export const COLUMNS = 24;

/** Grafana's names of units that we use. */
export type Unit = "short" | "reqps" | "s" | "percentunit" | "bytes" | "Bps" | "cps" | "none" | "ops";

export interface Query {
  expr: string;
  /** `{{label}}` stands for the label's value; in a table the column's title. */
  legend: string;
}

interface Common {
  title: string;
  /** One or two sentences: what it shows, and from when on to worry. */
  about: string;
  unit: Unit;
  queries: Query[];
  width: number;
  /** From this value on it is yellow, from that one red; a `below` turns it round. */
  warn?: number;
  bad?: number;
  below?: boolean;
  decimals?: number;
  link?: { title: string; uid: string };
}
export type PanelSpec =
  | (Common & { kind: "lines"; stack?: boolean; max?: number })
  | (Common & { kind: "stat" })
  | (Common & { kind: "table" });

export interface DashboardSpec {
  uid: string;
  title: string;
  about: string;
  /** Which variables there are: those that its queries use. */
  variables: ("bucket" | "round")[];
  rows: { title: string; panels: PanelSpec[] }[];
}

const HEIGHTS = { lines: 8, stat: 4, table: 6 } as const;
const TAG = "hongbao";

export function buildDashboard(spec: DashboardSpec): Dashboard {
  const dashboard = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.about)
    .tags([TAG])
    .timezone("browser")
    .refresh("5s")
    .time({ from: "now-15m", to: "now" })
    .tooltip(DashboardCursorSync.Crosshair)
    .readonly()
    .link(
      new DashboardLinkBuilder("Hongbao")
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .keepTime(true)
        .includeVars(true),
    );
  for (const name of spec.variables) dashboard.withVariable(variable(name));
  let y = 0;
  for (const { title, panels } of spec.rows) {
    dashboard.withRow(new RowBuilder(title).gridPos({ x: 0, y, w: COLUMNS, h: 1 }));
    y += 1;
    let x = 0;
    let lineHeight = 0;
    for (const panel of panels) {
      const h = HEIGHTS[panel.kind];
      if (x + panel.width > COLUMNS) {
        x = 0;
        y += lineHeight;
        lineHeight = 0;
      }
      dashboard.withPanel(buildPanel(panel, { x, y, w: panel.width, h }));
      x += panel.width;
      lineHeight = Math.max(lineHeight, h);
    }
    y += lineHeight;
  }
  const built = dashboard.build();
  // Numbers of panels in their order: links to them stay the same when a title changes.
  for (const [index, panel] of (built.panels ?? []).entries()) panel.id = index + 1;
  return built;
}

function variable(name: "bucket" | "round"): QueryVariableBuilder {
  const query = `label_values(hongbao_prizes_generated, ${name})`;
  return new QueryVariableBuilder(name)
    .label(name)
    .datasource(DATASOURCE)
    .query({ query, refId: name })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(".+")
    .current({ selected: true, text: "All", value: "$__all" });
}

type Place = { x: number; y: number; w: number; h: number };

function buildPanel(spec: PanelSpec, gridPos: Place): Builder<Panel> {
  const targets = spec.queries.map(({ expr, legend }, index) => {
    const query = new DataqueryBuilder()
      .refId(String.fromCharCode("A".charCodeAt(0) + index))
      .datasource(DATASOURCE)
      .expr(expr)
      .legendFormat(legend);
    if (spec.kind === "table") return query.instant().format(PromQueryFormat.Table);
    return spec.kind === "stat" ? query.range().format(PromQueryFormat.TimeSeries) : query.range();
  });
  const links = spec.link === undefined ? [] : [panelLink(spec.link)];
  const { title, about, unit, decimals } = spec;
  const common = <B extends TimeseriesBuilder | StatBuilder | TableBuilder>(builder: B): B => {
    builder
      .title(title)
      .description(about)
      .unit(unit)
      .datasource(DATASOURCE)
      .gridPos(gridPos)
      .targets(targets)
      .links(links);
    builder.thresholds(thresholds(spec));
    if (decimals !== undefined) builder.decimals(decimals);
    return builder;
  };
  switch (spec.kind) {
    case "lines":
      return linesPanel(common(new TimeseriesBuilder()), spec);
    case "stat":
      return common(new StatBuilder())
        .colorMode(
          spec.warn === undefined && spec.bad === undefined
            ? BigValueColorMode.None
            : BigValueColorMode.Value,
        )
        .graphMode(BigValueGraphMode.Area)
        .noValue("–")
        .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]));
    case "table":
      return common(new TableBuilder())
        .withTransformation({ id: "merge", options: {} })
        .withTransformation({ id: "organize", options: columnNames(spec.queries) });
  }
}

function linesPanel(builder: TimeseriesBuilder, spec: PanelSpec & { kind: "lines" }): TimeseriesBuilder {
  builder
    .drawStyle(GraphDrawStyle.Line)
    .lineWidth(2)
    .fillOpacity(spec.stack ? 40 : 8)
    .gradientMode(GraphGradientMode.Opacity)
    .showPoints(VisibilityMode.Never)
    .min(0)
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi))
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(["lastNotNull"]),
    );
  if (spec.stack) builder.stacking(new StackingConfigBuilder().mode(StackingMode.Normal));
  if (spec.max !== undefined) builder.max(spec.max);
  if (spec.warn !== undefined || spec.bad !== undefined) {
    builder.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  }
  return builder;
}

function thresholds({ warn, bad, below = false }: Common): ThresholdsConfigBuilder {
  const steps: { value: number | null; color: string }[] = [{ value: null, color: below ? "red" : "green" }];
  if (below) {
    if (bad !== undefined) steps.push({ value: bad, color: warn === undefined ? "green" : "yellow" });
    if (warn !== undefined) steps.push({ value: warn, color: "green" });
    if (bad === undefined && warn !== undefined) steps[0]!.color = "yellow";
  } else {
    if (warn !== undefined) steps.push({ value: warn, color: "yellow" });
    if (bad !== undefined) steps.push({ value: bad, color: "red" });
  }
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}

function columnNames(queries: Query[]): object {
  const renameByName: Record<string, string> = {};
  if (queries.length === 1) renameByName["Value"] = queries[0]!.legend;
  for (const [index, { legend }] of queries.entries())
    renameByName[`Value #${String.fromCharCode(65 + index)}`] = legend;
  return { excludeByName: { Time: true }, renameByName };
}

function panelLink({ title, uid }: { title: string; uid: string }): DashboardLinkBuilder {
  return new DashboardLinkBuilder(title).type(DashboardLinkType.Link).url(`/d/${uid}`);
}
