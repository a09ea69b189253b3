//! The annex in English.

use std::fmt::{self, Write};

use super::{Annex, cell, fenced};
use crate::catalog::SiteName;
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
    let known = |text: &Option<String>| cell(text.as_deref().unwrap_or("(to be filled in)"));
    let analysts = if purpose.analysts.is_empty() { None } else { Some(purpose.analysts.join(", ")) };
    writeln!(out, "# Annex to the data protection impact assessment\n")?;
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| Purpose | {} |", known(&purpose.purpose))?;
    writeln!(out, "| Legal basis | {} |", known(&purpose.legal_basis))?;
    writeln!(out, "| Ethics approval | {} |", known(&purpose.ethics))?;
    writeln!(out, "| Analysts | {} |", known(&analysts))?;
    writeln!(out, "| End of the study | {} |", known(&purpose.ends))?;
    writeln!(out, "| Sites | {} |", cell(&joined(&annex.plan.sites)))?;
    let [plan, disclosed] = annex.digest();
    writeln!(out, "| Digest of the plan | {plan} |\n| Digest of what is disclosed | {disclosed} |\n")?;
    writeln!(out, "## The question\n\n{}\n", fenced(&annex.plan.query))
}

fn sites(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    writeln!(out, "## What leaves each site\n")?;
    writeln!(out, "No row and no identifier leaves a site. These rows are read there:\n")?;
    for (index, sum) in annex.plan.sums.iter().enumerate() {
        writeln!(out, "- sum {index}: {}", read(sum))?;
    }
    for relation in annex.plan.intersection.iter().flat_map(|found| &found.relations) {
        let (of, rows) = (joined(&relation.contributors), relation.row_bound);
        writeln!(
            out,
            "- rows of {of}, at most {rows}: their patients' keys are compared with the other site's, blinded"
        )?;
    }
    let (cost, sites) = (annex.cost, annex.plan.sites.len());
    writeln!(
        out,
        "\nWhat is sent are random-looking shares of numbers, commitments to them, and what is opened below.\n"
    )?;
    writeln!(out, "| What | Bytes from each site |\n|---|---|")?;
    writeln!(out, "| opening the figures, and agreeing on groups | at most {} |", cost.bytes_per_site)?;
    if let Some((rounds, bytes)) = annex.prepared {
        writeln!(out, "| random numbers for work on shares, which hold no data ({rounds} rounds) | at most {bytes} |")?;
    }
    if annex.prepared.is_none() && !annex.plan.is_linear() {
        writeln!(out, "| random numbers for work on shares, which hold no data | known when the groups are agreed |")?;
    }
    for work in &annex.work {
        writeln!(out, "| {} | shares only, not counted here |", cell(&work.to_string()))?;
    }
    let to = match annex.plan.audience {
        Audience::Analyst => "the analyst",
        Audience::Everyone => "the analyst and every site",
    };
    writeln!(out, "\nTo whom: shares go to the other {} sites; figures are opened to {to}.\n", sites.saturating_sub(1))
}

fn read(sum: &SecureSum) -> String {
    let of = |sites: &[SiteName], rows: u64| format!("rows of {}, at most {rows} of each", joined(sites));
    match &sum.matching {
        None => of(&sum.contributors, sum.row_bound),
        Some(matching) => {
            let relations = matching.relations.iter().map(|relation| of(&relation.contributors, relation.row_bound));
            let matched = format!("patients of {}, matched without being seen", joined(&matching.sites));
            relations.chain([matched]).collect::<Vec<_>>().join("; ")
        }
    }
}

fn joined(sites: &[SiteName]) -> String {
    sites.iter().map(|site| site.0.as_str()).collect::<Vec<_>>().join(", ")
}

fn revealed(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    writeln!(out, "## What is revealed, to whom and why\n")?;
    writeln!(out, "| Name | What | Kind | To | Why |\n|---|---|---|---|---|")?;
    let row = |disclosure: &Disclosure| {
        let words = sentence(disclosure, Language::English);
        format!("| {} | {} | {} | {} | {} |", disclosure.id, cell(&words.what), words.kind, words.to, words.why)
    };
    annex.disclosed(true).try_for_each(|disclosure| writeln!(out, "{}", row(disclosure)))?;
    writeln!(out, "\nWhat follows from it, or from the plan, without being opened:\n")?;
    writeln!(out, "| Name | What | Kind | To | Why |\n|---|---|---|---|---|")?;
    annex.disclosed(false).try_for_each(|disclosure| writeln!(out, "{}", row(disclosure)))?;
    writeln!(out, "\n## What is not revealed\n")?;
    writeln!(out, "- rows, identifiers, and any figure that is not in the tables above")?;
    if annex.keeps_parts() {
        writeln!(
            out,
            "- a single site's part of a figure of several sites, save to who knows the figure and all other parts"
        )?;
    }
    if annex.matches() {
        writeln!(out, "- which patients several sites have in common")?;
    }
    if annex.plan.hides() {
        writeln!(out, "- the figures behind hidden cells")?;
    }
    writeln!(out, "- that a site's own work failed is visible to the others, as one bit and without the reason\n")
}

fn thresholds(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    let plan = annex.plan;
    let least = plan.min_patients;
    writeln!(out, "## Thresholds\n")?;
    match plan.hides() {
        true => {
            writeln!(out, "- cells of fewer than {least} are hidden before anything is opened, and shown as <{least}")?
        }
        false => writeln!(out, "- small cells are not hidden (min_patients is 1)")?,
    }
    if plan.hides() {
        let zeros = if plan.zero_allowed { "are shown" } else { "count as small" };
        writeln!(out, "- cells of exactly zero {zeros}")?;
    }
    let ReleasedTables { k_anonymous, l_diverse, sensitive } = &plan.released_tables;
    if plan.released_tables.asks() {
        let names: Vec<&str> = sensitive.iter().map(String::as_str).collect();
        writeln!(
            out,
            "- tables with group keys are {k_anonymous}-anonymous and {l_diverse}-diverse; sensitive columns: {}",
            names.join(", ")
        )?;
    }
    let shares = if plan.flag_extreme_shares { "yes" } else { "no" };
    writeln!(out, "- the answer warns where all or none of a group have something: {shares}\n")
}

fn assumptions(out: &mut String, annex: &Annex<'_>) -> fmt::Result {
    writeln!(out, "## Assumptions\n")?;
    writeln!(
        out,
        "- sites follow the protocol; even all but one of them together, with the analyst, learn no more than the above"
    )?;
    writeln!(out, "- nobody deals random numbers for others, and no outside party takes part")?;
    writeln!(
        out,
        "- sites' keys are pinned, messages travel encrypted (TLS 1.3); BLAKE3 and SHA-256 are sound hashes"
    )?;
    if !annex.plan.is_linear() {
        writeln!(
            out,
            "- work on shares: oblivious transfer on Curve25519, AES with a fixed key as a correlation-robust hash"
        )?;
    }
    if annex.assumes_lpn() {
        writeln!(out, "- learning parity with noise (dual, regular) is hard for the codes in use")?;
    }
    if annex.matches() {
        writeln!(out, "- matching fails by chance with probability below 2^-40 for each pair of sites")?;
    }
    writeln!(
        out,
        "- several answers together may say more than each of them: that is for the sites' ledgers and limits"
    )
}
