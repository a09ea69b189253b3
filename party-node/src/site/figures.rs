//! A node's figures: what it counted, and what stands in its state now.

use super::Site;
use crate::fault::NodeError;
use crate::metrics::{Figures, memory};

impl Site {
    /// Everything, as text. Blocks on the disk.
    pub fn figures(&self) -> String {
        let mut out = Figures::default();
        self.meter.write(&mut out);
        out.heading("consilium_runs", "gauge", "Sessions that this site takes part in now.");
        out.line("consilium_runs", &[], self.runs.count());
        self.peers(&mut out);
        self.jobs_by_state(&mut out);
        if let Err(error) = self.kept(&mut out) {
            out.heading("consilium_state_failed", "gauge", "The state cannot be read.");
            out.line("consilium_state_failed", &[("code", &error.code)], 1);
        }
        memory(&mut out);
        out.text()
    }

    fn peers(&self, out: &mut Figures) {
        let name = "consilium_peer_last_met_seconds";
        out.heading(name, "gauge", "When a connection with a site last came about, in seconds since 1970.");
        for (site, at_ms) in self.meter.last_met() {
            out.line(name, &[("site", &self.network.site[site].name.0)], at_ms / 1000);
        }
    }

    fn jobs_by_state(&self, out: &mut Figures) {
        let Some(jobs) = self.jobs.get() else { return };
        let (states, ended) = jobs.counts();
        out.heading("consilium_jobs", "gauge", "Jobs of this node's accounts that have not ended.");
        states.iter().for_each(|(state, count)| out.line("consilium_jobs", &[("state", state.name())], count));
        out.heading("consilium_jobs_ended_total", "counter", "Jobs by how they ended; DONE for an answer.");
        ended.iter().for_each(|(code, count)| out.line("consilium_jobs_ended_total", &[("code", code)], count));
    }

    fn kept(&self, out: &mut Figures) -> Result<(), NodeError> {
        let state = &self.gate.state;
        out.heading("consilium_plans_waiting", "gauge", "Plans that wait for this site's stewards.");
        out.line("consilium_plans_waiting", &[], state.inbox()?.len());
        out.heading("consilium_releases", "gauge", "Releases in this site's ledger.");
        out.line("consilium_releases", &[], state.releases(None)?.len());
        out.heading("consilium_log_lines", "gauge", "Lines of the signed log.");
        out.line("consilium_log_lines", &[], state.head()?.seq);
        self.budgets(out)
    }

    fn budgets(&self, out: &mut Figures) -> Result<(), NodeError> {
        let Some(privacy) = &self.gate.policy.policy.privacy else { return Ok(()) };
        let Some([epsilon, _]) = privacy.limits() else { return Ok(()) };
        let spent = self.gate.studies.iter().map(|study| Ok((&study.name, self.gate.state.spent(&study.digest())?)));
        let spent = spent.collect::<Result<Vec<_>, NodeError>>()?;
        out.heading("consilium_epsilon_left", "gauge", "What is left of each study's epsilon at this site.");
        for (study, spent) in &spent {
            let left = epsilon.0.saturating_sub(spent.epsilon.in_study) as f64 / MILLION;
            out.line("consilium_epsilon_left", &[("study", study)], left);
        }
        out.heading("consilium_delta_left", "gauge", "What is left of each study's delta at this site.");
        for (study, spent) in &spent {
            let left = privacy.delta_limit().0.saturating_sub(spent.delta.in_study) as f64 / DELTA_UNITS;
            out.line("consilium_delta_left", &[("study", study)], left);
        }
        Ok(())
    }
}

/// ε is kept in millionths.
const MILLION: f64 = 1e6;

/// δ is kept in units of 10⁻¹⁸.
const DELTA_UNITS: f64 = 1e18;
