//! What waits in which shard, as the last claims saw it, and how much of it the next claims are to bring. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::domain::ids::{CampaignId, SHARDS, Shard};
use crate::store::{Claims, Waiting};

/// Calls of one campaign that one claim brings where others would do as well: few shards with many calls each cost less
/// than many with one. With so many, a plan of 32 calls or more takes at most one round trip for ten of them: one permit, and
/// for each shard a claim and a start (which holds up the server for a millisecond or two).
const CHUNK: u64 = 64;
/// How much wider than planned a campaign is drawn from whose calls turn out not to be open now.
const WIDEST: u32 = 64;
/// The most calls of a campaign that one round brings beyond its plan.
const WIDE_MOST: u32 = 256;
/// Calls of campaigns that are over, ended in one round.
const ENDED_A_ROUND: u32 = 200;

/// A worker's view of the lanes.
#[derive(Debug)]
pub struct Hopper {
    shards: Vec<Vec<Waiting>>,
    totals: HashMap<CampaignId, u64>,
    plan: Vec<(CampaignId, u32)>,
    ended: Vec<CampaignId>,
    width: HashMap<CampaignId, u32>,
    turn: u16,
}

impl Hopper {
    /// An empty view; `turn` says with which shard it begins, so that not all workers begin with the same.
    #[must_use]
    pub fn new(turn: u16) -> Self {
        Self {
            shards: vec![Vec::new(); usize::from(SHARDS)],
            totals: HashMap::new(),
            plan: Vec::new(),
            ended: Vec::new(),
            width: HashMap::new(),
            turn: turn % SHARDS,
        }
    }

    /// Takes note of what a claim left in its shard.
    pub fn saw(&mut self, shard: Shard, claims: &Claims) {
        let Some(view) = self.shards.get_mut(usize::from(shard.0)) else { return };
        for gone in view.drain(..) {
            if let Some(total) = self.totals.get_mut(&gone.campaign) {
                *total = total.saturating_sub(gone.total());
            }
        }
        for waiting in &claims.waiting {
            *self.totals.entry(waiting.campaign.clone()).or_default() += waiting.total();
        }
        view.extend_from_slice(&claims.waiting);
        self.totals.retain(|_, total| *total > 0);
        let totals = &self.totals;
        self.width.retain(|campaign, _| totals.contains_key(campaign));
    }

    /// Campaigns of which calls wait, with how many.
    #[must_use]
    pub fn waiting(&self) -> Vec<(CampaignId, u64)> {
        self.totals.iter().map(|(campaign, n)| (campaign.clone(), *n)).collect()
    }

    /// Does anything of a campaign wait?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.totals.is_empty()
    }

    /// Takes a permit's plan, and which campaigns are over.
    pub fn plan(&mut self, plan: Vec<(CampaignId, u32)>, ended: Vec<CampaignId>) {
        self.plan = plan;
        self.plan.retain(|(_, n)| *n > 0);
        self.ended = ended;
    }

    /// Is there something to bring? Of a campaign that is over, as long as calls of it wait.
    #[must_use]
    pub fn has_plan(&self) -> bool {
        !self.plan.is_empty() || self.ended.iter().any(|campaign| self.totals.contains_key(campaign))
    }

    /// Is a plan to be asked for? Campaigns that are over need none, and keep none from the others.
    #[must_use]
    pub fn wants_plan(&self) -> bool {
        self.plan.is_empty() && self.totals.keys().any(|campaign| !self.ends(campaign))
    }

    /// Are this campaign's calls to be ended instead of dialed?
    #[must_use]
    pub fn ends(&self, campaign: &CampaignId) -> bool {
        self.ended.contains(campaign)
    }

    /// Of `brought` calls of a campaign, `open` might be dialed now. Where most might not (their windows are closed), the
    /// next round draws wider, so that no closed stretch of a list stands in front of an open one for long.
    pub fn found(&mut self, campaign: &CampaignId, brought: usize, open: usize) {
        let width = self.width.get(campaign).copied().unwrap_or(1);
        let width = if open * 2 < brought {
            (width * 2).min(WIDEST)
        } else if open == brought {
            width / 2
        } else {
            width
        };
        if width > 1 {
            self.width.insert(campaign.clone(), width);
        } else {
            self.width.remove(campaign);
        }
    }

    /// What the next claims are to bring, by shard: the plan, used up by this, at most `most` calls in all.
    pub fn wants(&mut self, most: usize) -> BTreeMap<u16, Vec<(CampaignId, u32)>> {
        let mut left = u64::try_from(most).unwrap_or(u64::MAX);
        let mut out: BTreeMap<u16, Vec<(CampaignId, u32)>> = BTreeMap::new();
        // Those that are nearly done first: a small campaign does not wait until a large one was brought to its end.
        let mut ended = self.ended.clone();
        ended.sort_by_key(|campaign| self.totals.get(campaign).copied().unwrap_or(0));
        let ended = ended.into_iter().map(|campaign| (campaign, ENDED_A_ROUND));
        let plan: Vec<_> = std::mem::take(&mut self.plan).into_iter().chain(ended).collect();
        let mut furthest = 0;
        for (campaign, n) in plan {
            let width = self.width.get(&campaign).copied().unwrap_or(1);
            let n = n.max(n.saturating_mul(width).min(WIDE_MOST));
            let want = u64::from(n).min(left);
            let (taken, laps) = self.spread(&campaign, want, &mut out);
            left -= taken;
            furthest = furthest.max(laps);
        }
        self.turn = (self.turn + furthest) % SHARDS;
        out
    }

    /// Spreads `want` calls of a campaign over the shards that have some, in turn; the higher lanes first, wherever they
    /// are. Answers how many it found and how far from the present turn it went.
    fn spread(
        &self,
        campaign: &CampaignId,
        want: u64,
        out: &mut BTreeMap<u16, Vec<(CampaignId, u32)>>,
    ) -> (u64, u16) {
        let mut here: Vec<(u16, [u64; 3], u64)> = (0..SHARDS)
            .filter_map(|step| {
                let shard = (self.turn + step) % SHARDS;
                let view = self.shards.get(usize::from(shard))?;
                let waiting = view.iter().find(|w| w.campaign == *campaign)?;
                Some((step, waiting.lanes, 0))
            })
            .collect();
        let (mut left, mut furthest) = (want, 0);
        for lane in 0..3 {
            for most in [CHUNK, u64::MAX] {
                for (step, lanes, taken) in &mut here {
                    let n = lanes[lane].min(left).min(most);
                    if n > 0 {
                        lanes[lane] -= n;
                        *taken += n;
                        left -= n;
                        furthest = furthest.max(*step + 1);
                    }
                }
            }
        }
        for (step, _, taken) in here {
            if taken > 0 {
                let shard = (self.turn + step) % SHARDS;
                let n = u32::try_from(taken).unwrap_or(u32::MAX);
                out.entry(shard).or_default().push((campaign.clone(), n));
            }
        }
        (want - left, furthest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(hopper: &mut Hopper, shard: u16, waiting: &[(&CampaignId, [u64; 3])]) {
        let waiting = waiting.iter().map(|(id, lanes)| Waiting { campaign: (*id).clone(), lanes: *lanes });
        hopper.saw(Shard(shard), &Claims { waiting: waiting.collect(), ..Claims::default() });
    }

    fn total(wants: &BTreeMap<u16, Vec<(CampaignId, u32)>>, campaign: &CampaignId) -> u32 {
        wants.values().flatten().filter(|(id, _)| id == campaign).map(|(_, n)| n).sum()
    }

    #[test]
    fn the_totals_follow_what_was_seen() {
        let (a, b) = (CampaignId::random(), CampaignId::random());
        let mut hopper = Hopper::new(0);
        saw(&mut hopper, 1, &[(&a, [1, 10, 0]), (&b, [0, 5, 0])]);
        saw(&mut hopper, 2, &[(&a, [0, 4, 2])]);
        let mut waiting = hopper.waiting();
        waiting.sort();
        let mut want = vec![(a.clone(), 17), (b.clone(), 5)];
        want.sort();
        assert_eq!(waiting, want);
        saw(&mut hopper, 1, &[]);
        assert_eq!(hopper.waiting(), [(a, 6)]);
        saw(&mut hopper, 2, &[]);
        assert!(hopper.is_empty());
    }

    #[test]
    fn a_campaign_that_is_over_keeps_no_plan_from_the_others() {
        let (over, small, other) = (CampaignId::random(), CampaignId::random(), CampaignId::random());
        let mut hopper = Hopper::new(0);
        saw(&mut hopper, 1, &[(&over, [0, 900, 0]), (&small, [0, 3, 0]), (&other, [0, 5, 0])]);
        assert!(!hopper.has_plan() && hopper.wants_plan());
        hopper.plan(Vec::new(), vec![over.clone(), small.clone()]);
        assert!(hopper.has_plan() && hopper.wants_plan(), "the other one's plan is asked for meanwhile");
        let wants = hopper.wants(64);
        assert_eq!((total(&wants, &small), total(&wants, &over)), (3, 61), "the nearly done one first");
        // Both were brought to their ends, as the last claim saw; the permit that named them is the last one yet.
        saw(&mut hopper, 1, &[(&other, [0, 5, 0])]);
        assert!(!hopper.has_plan() && hopper.wants_plan(), "or nobody would ever be dialed again");
        hopper.plan(vec![(other.clone(), 2)], Vec::new());
        assert!(hopper.has_plan() && !hopper.wants_plan());
        saw(&mut hopper, 1, &[]);
        assert_eq!(total(&hopper.wants(64), &other), 0);
        assert!(!hopper.has_plan() && !hopper.wants_plan(), "nothing waits");
    }

    #[test]
    fn few_shards_serve_a_small_plan_and_each_has_its_turn() {
        let a = CampaignId::random();
        let mut hopper = Hopper::new(3);
        for shard in 0..SHARDS {
            saw(&mut hopper, shard, &[(&a, [0, 100, 0])]);
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..SHARDS {
            hopper.plan(vec![(a.clone(), 7)], Vec::new());
            let wants = hopper.wants(1_000);
            assert_eq!((wants.len(), total(&wants, &a)), (1, 7));
            seen.extend(wants.into_keys());
            assert!(hopper.wants(1_000).is_empty(), "a plan is used once");
        }
        assert_eq!(seen.len(), usize::from(SHARDS));
        hopper.plan(vec![(a.clone(), 5_000)], Vec::new());
        assert_eq!(total(&hopper.wants(10_000), &a), 5_000, "more than a chunk of each, where it must be");
        hopper.plan(vec![(a.clone(), 5_000)], Vec::new());
        assert_eq!(total(&hopper.wants(128), &a), 128);
    }

    #[test]
    fn a_high_lane_goes_first_wherever_it_is() {
        let a = CampaignId::random();
        let mut hopper = Hopper::new(0);
        saw(&mut hopper, 0, &[(&a, [0, 50, 0])]);
        saw(&mut hopper, 40, &[(&a, [2, 50, 9])]);
        hopper.plan(vec![(a.clone(), 3)], Vec::new());
        let wants = hopper.wants(100);
        assert_eq!(wants[&40], [(a.clone(), 2)]);
        assert_eq!(wants[&0], [(a.clone(), 1)]);
    }

    #[test]
    fn closed_calls_are_drawn_wider_and_open_ones_as_planned() {
        let a = CampaignId::random();
        let mut hopper = Hopper::new(0);
        saw(&mut hopper, 0, &[(&a, [0, 100_000, 0])]);
        let mut drawn = || {
            hopper.plan(vec![(a.clone(), 10)], Vec::new());
            let n = total(&hopper.wants(1_000), &a);
            hopper.found(&a, n as usize, 0);
            n
        };
        assert_eq!([drawn(), drawn(), drawn()], [10, 20, 40]);
        assert_eq!((0..9).map(|_| drawn()).max(), Some(WIDE_MOST));
        for _ in 0..6 {
            hopper.found(&a, 256, 256);
        }
        hopper.plan(vec![(a.clone(), 10)], Vec::new());
        assert_eq!(total(&hopper.wants(1_000), &a), 10);
    }

    #[test]
    fn campaigns_that_are_over_are_brought_to_be_ended() {
        let a = CampaignId::random();
        let mut hopper = Hopper::new(0);
        saw(&mut hopper, 9, &[(&a, [0, 1_000, 0])]);
        hopper.plan(Vec::new(), vec![a.clone()]);
        assert!(hopper.ends(&a) && hopper.has_plan());
        assert_eq!(total(&hopper.wants(1_000), &a), ENDED_A_ROUND);
    }
}
