//! Union-find over runs: components that are connected over edges, and groups of components that meet in corners.

use super::{Component, Connectedness, Group, NONE, Tracer};

impl Tracer {
    /// Adds an edge at which a ring of the component may start.
    pub(super) fn seed(&mut self, component: u32, edge: u32) {
        let component = self.root(component);
        let slot = if self.free_seed == NONE {
            self.seeds.push([edge, NONE]);
            (self.seeds.len() - 1) as u32
        } else {
            let slot = self.free_seed;
            self.free_seed = self.seeds[slot as usize][1];
            self.seeds[slot as usize] = [edge, NONE];
            slot
        };
        let state = &mut self.components[component as usize];
        if state.first_seed == NONE {
            state.first_seed = slot;
        } else {
            self.seeds[state.last_seed as usize][1] = slot;
        }
        state.last_seed = slot;
    }

    pub(super) fn new_component(&mut self, label: u32) -> u32 {
        let slot = match self.free_components.pop() {
            Some(slot) => slot,
            None => self.components.len() as u32,
        };
        let group = match self.connectedness {
            Connectedness::Four => NONE,
            Connectedness::Eight => self.new_group(),
        };
        let component = Component {
            parent: slot,
            label,
            last_row: self.row,
            group,
            pixels: 0,
            score_sum: 0.0,
            scored: 0,
            score_min: f32::INFINITY,
            first_seed: NONE,
            last_seed: NONE,
        };
        if slot as usize == self.components.len() {
            self.components.push(component);
        } else {
            self.components[slot as usize] = component;
        }
        slot
    }

    pub(super) fn root(&mut self, mut component: u32) -> u32 {
        loop {
            let parent = self.components[component as usize].parent;
            if parent == component {
                return component;
            }
            let above = self.components[parent as usize].parent;
            self.components[component as usize].parent = above;
            component = above;
        }
    }

    /// Joins two root components and returns the remaining root.
    pub(super) fn join(&mut self, keep: u32, lose: u32) -> u32 {
        if keep == lose {
            return keep;
        }
        let lost = self.components[lose as usize];
        self.components[lose as usize].parent = keep;
        self.absorbed.push(lose);
        let kept = &mut self.components[keep as usize];
        kept.pixels += lost.pixels;
        kept.score_sum += lost.score_sum;
        kept.scored += lost.scored;
        kept.score_min = kept.score_min.min(lost.score_min);
        kept.last_row = kept.last_row.max(lost.last_row);
        if kept.first_seed == NONE {
            kept.first_seed = lost.first_seed;
            kept.last_seed = lost.last_seed;
        } else if lost.first_seed != NONE {
            self.seeds[kept.last_seed as usize][1] = lost.first_seed;
            kept.last_seed = lost.last_seed;
        }
        if self.connectedness == Connectedness::Eight {
            self.join_groups(keep, lose);
            let group = self.group_root(self.components[keep as usize].group);
            self.groups[group as usize].open -= 1;
        }
        keep
    }

    pub(super) fn new_group(&mut self) -> u32 {
        let slot = match self.free_groups.pop() {
            Some(slot) => slot,
            None => {
                self.groups.push(Group::default());
                (self.groups.len() - 1) as u32
            }
        };
        self.groups[slot as usize] = Group { parent: slot, open: 1, score_min: f32::INFINITY, ..Group::default() };
        slot
    }

    pub(super) fn group_root(&mut self, mut group: u32) -> u32 {
        while self.groups[group as usize].parent != group {
            let parent = self.groups[group as usize].parent;
            self.groups[group as usize].parent = self.groups[parent as usize].parent;
            group = parent;
        }
        group
    }

    /// Joins the groups of two components into one region.
    pub(super) fn join_groups(&mut self, one: u32, other: u32) {
        let mut keep = self.group_root(self.components[one as usize].group);
        let mut lose = self.group_root(self.components[other as usize].group);
        if keep == lose {
            return;
        }
        let weight = |group: &Group| group.parts.len() + group.absorbed.len();
        if weight(&self.groups[keep as usize]) < weight(&self.groups[lose as usize]) {
            std::mem::swap(&mut keep, &mut lose);
        }
        let mut lost = std::mem::take(&mut self.groups[lose as usize]);
        self.groups[lose as usize].parent = keep;
        let kept = &mut self.groups[keep as usize];
        kept.open += lost.open;
        kept.parts.append(&mut lost.parts);
        kept.pixels += lost.pixels;
        kept.score_sum += lost.score_sum;
        kept.scored += lost.scored;
        kept.score_min = kept.score_min.min(lost.score_min);
        kept.absorbed.push(lose);
        kept.absorbed.append(&mut lost.absorbed);
    }
}
