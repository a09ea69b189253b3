// What the engine says in words, in both languages, as far as the mock needs it.

import type { Language } from "../src/api";

const en = {
  rows: "the number of rows",
  patients: "the number of patients",
  sumOf: (column: string) => `the sum of ${column}`,
  notNull: (column: string) => `the number of rows where ${column} is not NULL`,
  median: (column: string) => `a middle or extreme value of ${column}`,
  place: (figure: string, keys: string, tables: string, where: string) =>
    `${figure}${keys === "" ? "" : ` for each value of ${keys}`} over all sites in ${tables}${where === "" ? "" : ` where ${where}`}`,
  keys: (keys: string, tables: string) =>
    `the values of ${keys} that at least 11 patients (each once at each site; rows, where a table names no patients) over all sites in ${tables} have, and nothing about other values`,
  hidden:
    "which of these figures are hidden: those with fewer than 11 patients behind them (zeros too), and those from which one of them would follow; both are shown as <11",
  padded: "that a site has at most 100000 patients, and nothing about which of them others know",
  difference:
    "whether this release would differ from an earlier one of the study by fewer than 11 patients, in which case it is refused; not from which one, nor by how many",
  asked: "the answer shows it",
  average: "an average is computed from it",
  present: "it says which groups have rows",
  grouping: "every site must know the groups to sum by them",
  smallCells: "nothing more is opened for it: it shows in the figures, because small ones are hidden",
  padding: "nothing is opened for it: it is in the plan, and lists are padded to it",
  differencing: "a release must not differ from an earlier one by few patients",
  compare: (n: number) => `compare at most ${n} counts with the smallest that may be shown`,
  match: "match patients between 3 sites, at most 100000 of each",
};

const zh: typeof en = {
  rows: "行数",
  patients: "患者人数",
  sumOf: (column) => `${column} 的总和`,
  notNull: (column) => `${column} 不为 NULL 的行数`,
  median: (column) => `${column} 的中间值或极值`,
  place: (figure, keys, tables, where) =>
    `所有医院合计，数据表 ${tables}${where === "" ? "" : `，条件 ${where}`}${keys === "" ? "" : `，按 ${keys} 的每个取值`}：${figure}`,
  keys: (keys, tables) => `${keys} 在所有医院合计（数据表 ${tables}）中至少出现于 11 行的取值；对其他取值一无所知`,
  hidden: "哪些单元格被隐藏：少于 11 人的单元格（零也隐藏），以及可据以推算出它们的单元格；两者均以 <11 显示",
  padded: "每家医院最多有 100000 名患者；不透露其中哪些患者也在其他医院就诊",
  difference:
    "本次结果与本研究以往某次结果之间，是否只相差不足 11 名患者（若是则拒绝执行）；不透露是哪一次，也不透露相差几人",
  asked: "结果中直接给出",
  average: "用于计算平均值",
  present: "用于判断哪些分组有数据行",
  grouping: "各医院须先知道有哪些分组，才能按分组求和",
  smallCells: "不为此另行公开：因小数值被隐藏，可从结果中看出",
  padding: "不为此另行公开：已写在计划中，名单一律补齐到此数",
  differencing: "本次结果与以往结果不得只相差少数患者",
  compare: (n) => `把至多 ${n} 个计数与可显示的最小数比较`,
  match: "在 3 家医院之间匹配患者，每家至多 100000 名",
};

export const sentences: Record<Language, typeof en> = { en, zh };
