//! A site's own noise, where the plan has some: added to the site's own summand of every total that is compared or opened, before
//! anything leaves the site. From then on there is no number without it: thresholds, gates and what is opened all read the
//! same one, so that they are post-processing of it.

use mpc_core::random::{Domain, Prg, PrivateSeed};
use mpc_core::step::StepPath;
use protocols::Noise;
use query_planner::noise::Law;
use query_planner::plan::SecureSum;
use query_planner::{JointPlan, decode, keys};
use zeroize::Zeroize;

use super::{Partials, plan_invalid};
use crate::fault::NodeError;

/// Fresh randomness of the operating system: no session has begun whose randomness could be used.
///
/// # Errors
/// `NO_RANDOMNESS`.
pub fn source() -> Result<Prg, NodeError> {
    let seed = PrivateSeed::from_os();
    let seed = seed.map_err(|_| NodeError::new("NO_RANDOMNESS", "the operating system gave no randomness"))?;
    Ok(seed.prg(Domain::FigureNoise, &StepPath::root()))
}

/// Adds this site's share of the noise, a fresh draw for each noised slot and group; nothing where the plan has none. Every group of the
/// plan gets it, also those that the site has no rows of, and a sum that the site contributes nothing to. Numbers wrap
/// around as they do in the rings they are shared in.
///
/// # Errors
/// `PLAN_INVALID` for a plan that contradicts itself, `NOISE_FAILED` for parameters that no noise can be drawn for.
pub fn add(plan: &JointPlan, partials: &mut [Partials], rng: &mut Prg) -> Result<(), NodeError> {
    let Some(noise) = &plan.noise else { return Ok(()) };
    for (sum, own) in plan.sums.iter().zip(partials) {
        if own.noised || !sum.orders.is_empty() || !sum.sketches.is_empty() {
            return Err(plan_invalid("noise where none can be"));
        }
        spread(sum, own)?;
        for noised in &sum.noised {
            let honest = noise.honest_sites;
            let share = match noise.law(noised) {
                Law::Laplace { sensitivity, epsilon } => {
                    Noise::Laplace { sensitivity, epsilon_millionths: epsilon.0, honest }
                }
                Law::Gaussian { variance } => Noise::Gaussian { variance, honest },
            };
            for total in &mut own.slots[noised.slot] {
                let drawn = share.sample(rng).map_err(|why| NodeError::new("NOISE_FAILED", why.to_string()))?;
                *total = total.wrapping_add(drawn);
            }
        }
        own.noised = true;
    }
    Ok(())
}

/// Every group of the plan, with zeros where the site has no rows.
fn spread(sum: &SecureSum, own: &mut Partials) -> Result<(), NodeError> {
    let mut all: Vec<Vec<u8>> = decode::groups(sum).iter().map(|group| keys::encode(group)).collect();
    all.sort();
    let places = own.keys.iter().map(|key| all.binary_search(key)).collect::<Result<Vec<_>, _>>();
    let places = places.map_err(|_| plan_invalid("a group that was not declared"))?;
    for slot in &mut own.slots {
        let mut wide = vec![0; all.len()];
        places.iter().zip(&*slot).for_each(|(place, total)| wide[*place] = *total);
        std::mem::replace(slot, wide).zeroize();
    }
    own.keys = all;
    Ok(())
}
