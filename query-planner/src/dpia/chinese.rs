//! The annex in Chinese (simplified).

use std::fmt::{self, Write};

use super::{Annex, cell, fenced};
use crate::catalog::SiteName;
use crate::cost::Work;
use crate::disclosure::{Disclosure, Language, sentence};
use crate::plan::{Audience, SecureSum};
use crate::released_tables::ReleasedTables;

pub(super) fn write(annex: &Annex<'_>) -> String {
    let mut out = String::new();
    // Writing to a String never fails.
    let _ = question(&mut out, annex)
        .and_then(|()| sites(&mut out, annex))
        .and_then(|()| revealed(&mut out, annex))
        .and_then(|()| thresholds(&mut out, annex))
        .and_then(|()| assumptions(&mut out, annex));
    out
}

fn question(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    let purpose = annex.purpose;
    let known = |text: &Option<String>| cell(text.as_deref().unwrap_or("（待填写）"));
    let analysts = if purpose.analysts.is_empty() { None } else { Some(purpose.analysts.join("、")) };
    writeln!(out, "# 个人信息保护影响评估附件\n")?;
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| 目的 | {} |", known(&purpose.purpose))?;
    writeln!(out, "| 法律依据 | {} |", known(&purpose.legal_basis))?;
    writeln!(out, "| 伦理批件号 | {} |", known(&purpose.ethics))?;
    writeln!(out, "| 分析者 | {} |", known(&analysts))?;
    writeln!(out, "| 研究截止日期 | {} |", known(&purpose.ends))?;
    writeln!(out, "| 参与医院 | {} |", cell(&joined(&annex.plan.sites)))?;
    let [plan, disclosed] = annex.digest();
    writeln!(out, "| 计划摘要值 | {plan} |\n| 披露内容摘要值 | {disclosed} |\n")?;
    writeln!(out, "## 查询内容\n\n{}\n", fenced(&annex.plan.query))
}

fn sites(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    writeln!(out, "## 每家医院送出的内容\n")?;
    writeln!(out, "任何数据行和患者标识均不离开医院。在医院内部读取的数据行如下：\n")?;
    for (index, sum) in annex.plan.sums.iter().enumerate() {
        writeln!(out, "- 第 {index} 项求和：{}", read(sum))?;
    }
    for relation in annex.plan.intersection.iter().flat_map(|found| &found.relations) {
        let (of, rows) = (joined(&relation.contributors), relation.row_bound);
        writeln!(out, "- {of} 的数据行，至多 {rows} 行：其患者标识经盲化后与另一家医院比对")?;
    }
    let (cost, sites) = (annex.cost, annex.plan.sites.len());
    writeln!(out, "\n实际发送的是：看似随机的数字份额、对份额的承诺，以及下文列出的公开内容。\n")?;
    writeln!(out, "| 内容 | 每家医院发送的字节数 |\n|---|---|")?;
    writeln!(out, "| 公开结果、商定分组 | 至多 {} |", cost.bytes_per_site)?;
    if let Some((rounds, bytes)) = annex.prepared {
        writeln!(out, "| 份额计算所需的随机数，不含任何数据（{rounds} 轮） | 至多 {bytes} |")?;
    }
    if annex.prepared.is_none() && !annex.plan.is_linear() {
        writeln!(out, "| 份额计算所需的随机数，不含任何数据 | 商定分组之后才能确定 |")?;
    }
    for of in &annex.work {
        writeln!(out, "| {} | 只含份额，此处未计 |", work(of))?;
    }
    let to = match annex.plan.audience {
        Audience::Analyst => "结果仅发给分析者",
        Audience::Everyone => "结果发给分析者和所有医院",
    };
    writeln!(out, "\n接收方：份额发给其他 {} 家医院；{to}。\n", sites.saturating_sub(1))
}

pub(super) fn work(work: &Work) -> String {
    match work {
        Work::FrequentKeys { sum } => format!("商定第 {sum} 项求和中足够常见的分组取值"),
        Work::Visible { cells, bits, differences, equations } => {
            format!("比较至多 {cells} 个 {bits} 位的计数、{differences} 个差值、{equations} 个等式")
        }
        Work::Classes { classes, groups, bits } => {
            format!("按 {groups} 个 {bits} 位的计数判断至多 {classes} 个分组组合")
        }
        Work::Mask { narrow, wide } => format!("遮蔽 {narrow} 个 64 位数和 {wide} 个 128 位数"),
        Work::Histogram { groups, cells, points, .. } => {
            format!("在 {groups} · {cells} 个计数中各查找 {points} 个位置")
        }
        Work::Sort { rows, bits, points, .. } => {
            format!("对 {rows} 个 {bits} 位的键排序，每个分组取 {points} 个位置")
        }
        Work::Sketch { sites, sketches } => format!("合并 {sites} 家医院各自至多 {sketches} 个概要"),
        Work::Matching { sites, patients, values, operations } => {
            format!("在 {sites} 家医院之间匹配患者，每家 {patients} 名，每名至多 {values} 个数值和 {operations} 次运算")
        }
        Work::TopK { groups, bits, limit } => format!("在 {groups} 个 {bits} 位的总数中找出前 {limit} 个"),
    }
}

fn read(sum: &SecureSum) -> String {
    let of = |sites: &[SiteName], rows: u64| format!("{} 的数据行，每家至多 {rows} 行", joined(sites));
    match &sum.matching {
        None => of(&sum.contributors, sum.row_bound),
        Some(matching) => {
            let relations = matching.relations.iter().map(|relation| of(&relation.contributors, relation.row_bound));
            let matched = format!("{} 的患者，在互不可见的情况下匹配", joined(&matching.sites));
            relations.chain([matched]).collect::<Vec<_>>().join("；")
        }
    }
}

fn joined(sites: &[SiteName]) -> String {
    sites.iter().map(|site| site.0.as_str()).collect::<Vec<_>>().join("、")
}

fn revealed(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    writeln!(out, "## 公开什么、发给谁、为什么\n")?;
    writeln!(out, "| 名称 | 内容 | 类别 | 接收者 | 原因 |\n|---|---|---|---|---|")?;
    let row = |disclosure: &Disclosure| {
        let words = sentence(disclosure, Language::Chinese);
        format!("| {} | {} | {} | {} | {} |", disclosure.id, cell(&words.what), words.kind, words.to, words.why)
    };
    annex.disclosed(true).try_for_each(|disclosure| writeln!(out, "{}", row(disclosure)))?;
    writeln!(out, "\n不另行公开，但可由上述结果或由计划本身得知的内容：\n")?;
    writeln!(out, "| 名称 | 内容 | 类别 | 接收者 | 原因 |\n|---|---|---|---|---|")?;
    annex.disclosed(false).try_for_each(|disclosure| writeln!(out, "{}", row(disclosure)))?;
    writeln!(out, "\n## 不公开什么\n")?;
    writeln!(out, "- 数据行、患者标识，以及上表未列出的任何数值")?;
    if annex.keeps_parts() {
        writeln!(out, "- 多家医院合计的数值中，任何一家医院各自的部分（除非有人既知道合计，又知道其余各家的部分）")?;
    }
    if annex.matches() {
        writeln!(out, "- 哪些患者同时在多家医院就诊")?;
    }
    if annex.plan.hides() {
        writeln!(out, "- 被隐藏单元格中的数值")?;
    }
    writeln!(out, "- 某家医院自身处理失败时，其他医院只知道失败这一事实（一个比特），不知道原因\n")
}

fn thresholds(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    let plan = annex.plan;
    let least = plan.min_patients;
    writeln!(out, "## 阈值\n")?;
    match plan.hides() {
        true => writeln!(out, "- 少于 {least} 人（或行）的单元格在公开之前即被隐藏，以 <{least} 显示")?,
        false => writeln!(out, "- 不隐藏小数值单元格（min_patients 为 1）")?,
    }
    if plan.hides() {
        let zeros = if plan.zero_allowed { "照常显示" } else { "按小数值处理" };
        writeln!(out, "- 恰为零的单元格{zeros}")?;
    }
    let ReleasedTables { k_anonymous, l_diverse, sensitive } = &plan.released_tables;
    if plan.released_tables.asks() {
        let names: Vec<&str> = sensitive.iter().map(String::as_str).collect();
        writeln!(out, "- 分组表满足 {k_anonymous}-匿名和 {l_diverse}-多样性；敏感列：{}", names.join("、"))?;
    }
    let shares = if plan.flag_extreme_shares { "是" } else { "否" };
    writeln!(out, "- 某一分组全部或无一符合时，结果中是否提示：{shares}\n")
}

fn assumptions(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    writeln!(out, "## 安全假设\n")?;
    writeln!(out, "- 各医院遵守协议；即使除一家以外的所有医院与分析者合谋，所得也不超过上述内容")?;
    writeln!(out, "- 没有任何一方代他人生成随机数，也没有外部机构参与")?;
    writeln!(out, "- 各医院的公钥预先固定，消息加密传输（TLS 1.3）；BLAKE3 和 SHA-256 是安全的散列函数")?;
    if !annex.plan.is_linear() {
        writeln!(out, "- 份额计算：基于 Curve25519 的不经意传输；固定密钥的 AES 作为相关性稳健的散列函数")?;
    }
    if annex.assumes_lpn() {
        writeln!(out, "- 对所用编码，带噪声的奇偶校验学习问题（对偶形式、规则噪声）是困难的")?;
    }
    if annex.matches() {
        writeln!(out, "- 对每两家医院，匹配偶然出错的概率低于 2^-40")?;
    }
    writeln!(out, "- 多次查询的结果合在一起，可能比单次结果透露得更多：这由各医院的台账和次数限制来控制")
}
