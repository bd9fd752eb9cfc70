//! The spool against a model of it, over random histories of appends, replays, restarts and accidents.

use std::collections::BTreeMap;

use super::*;

/// What we did to a record's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accident {
    Flip,
    Cut,
    Delete,
    Misname,
}

#[derive(Debug)]
struct Modelled {
    events: u32,
    content: Bytes,
    accident: Option<Accident>,
}

struct World {
    chance: u64,
    site: Site,
    spool: Option<Spool>,
    queue: BTreeMap<u64, Modelled>,
    /// Highest number given so far that anything on disk could still tell of.
    highest: u64,
    sound: usize,
    replayed: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let site = Site::new();
        let spool = Some(site.open());
        Self { chance: seed, site, spool, queue: BTreeMap::new(), highest: 0, sound: 0, replayed: 0 }
    }

    /// A number below `limit`.
    fn any(&mut self, limit: usize) -> usize {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) as usize % limit
    }

    fn spool(&self) -> Spool {
        self.spool.clone().unwrap()
    }

    async fn append(&mut self) {
        let size = [0, 1, 100, 9000][self.any(4)];
        let content: Bytes = (0..size).map(|_| self.any(256) as u8).collect();
        let events = self.any(300) as u32;
        let number = self.spool().append(events, content.clone()).await.unwrap();
        assert!(number > self.highest, "{number} was given before");
        self.highest = number;
        self.sound += 1;
        self.queue.insert(number, Modelled { events, content, accident: None });
    }

    /// The record that must come next behind `number`, once those that had an accident are told of and gone.
    async fn after(&mut self, number: u64) -> Option<u64> {
        let before = self.site.damaged();
        let given = self.spool().after(number).await.unwrap();
        let sound =
            self.queue.range(number + 1..).find(|(_, record)| record.accident.is_none()).map(|(sound, _)| *sound);
        let end = sound.unwrap_or(u64::MAX);
        let lost: Vec<_> = self.queue.range(number + 1..end).map(|(lost, _)| *lost).collect();
        for lost in &lost {
            self.queue.remove(lost);
        }
        assert_eq!(self.site.damaged() - before, lost.len() as u64);
        assert_eq!(given.as_ref().map(|record| record.number), sound);
        let given = given?;
        let expected = &self.queue[&given.number];
        assert_eq!((given.events, &given.bytes), (expected.events, &expected.content));
        Some(given.number)
    }

    async fn replay(&mut self) {
        let Some(first) = self.after(0).await else { return };
        let mut numbers = vec![first];
        if self.any(3) == 0 {
            numbers.extend(self.after(first).await);
        }
        if self.any(2) == 0 {
            numbers.reverse();
        }
        for number in numbers {
            if self.any(8) == 0 {
                self.spool().set_aside(number, "Redis says no").await.unwrap();
            } else {
                self.spool().remove(number).await.unwrap();
            }
            self.queue.remove(&number);
            self.replayed += 1;
        }
    }

    fn accident(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let index = self.any(self.queue.len());
        let accident = [Accident::Flip, Accident::Cut, Accident::Delete, Accident::Misname][self.any(4)];
        let Some((&number, record)) = self.queue.iter_mut().nth(index) else { return };
        if record.accident.is_some() || (record.content.is_empty() && accident == Accident::Flip) {
            return;
        }
        record.accident = Some(accident);
        self.sound -= 1;
        let (file, mut content) = (self.site.file(number), record.content.to_vec());
        match accident {
            Accident::Flip => {
                let at = self.any(content.len());
                content[at] ^= 1 << self.any(8);
                fs::write(file, content).unwrap();
            }
            Accident::Cut => {
                content.pop().map_or_else(|| content.push(0), drop);
                fs::write(file, content).unwrap();
            }
            Accident::Delete => fs::remove_file(file).unwrap(),
            Accident::Misname => {
                let wrong = file.file_name().unwrap().to_str().unwrap().replace('-', "_");
                fs::rename(&file, file.with_file_name(wrong)).unwrap();
            }
        }
    }

    fn restart(&mut self) {
        self.spool = None;
        if self.any(2) == 0 {
            fs::write(self.site.path().join("3.tmp"), "half").unwrap();
        }
        let before = self.site.damaged();
        let (spool, damage) = self.site.open_damaged();
        assert_eq!(self.site.damaged() - before, damage.iter().map(Damage::records).sum::<u64>());
        self.spool = Some(spool);
        let tells = |number: u64, damage: &Damage| match damage {
            Damage::SetAside { file, .. } => file.starts_with(&format!("{number:020}")),
            Damage::Missing { first, last, .. } => (*first..=*last).contains(&number),
        };
        let told = |number: u64| damage.iter().any(|damage| tells(number, damage));
        if let Some((_, Modelled { accident: Some(Accident::Delete | Accident::Misname), .. })) =
            self.queue.last_key_value()
        {
            // Nothing on disk tells of it, so its number may come again.
            self.highest = 0;
        }
        let mut behind = false;
        for number in self.queue.keys().copied().rev().collect::<Vec<_>>() {
            let accident = self.queue[&number].accident;
            match accident {
                None => assert!(!told(number), "sound record {number}: {damage:?}"),
                // Contents are judged later, unless there is a gap before.
                Some(Accident::Flip) => {}
                Some(Accident::Cut) => assert!(told(number), "{number}: {damage:?}"),
                // Only those behind it can tell.
                Some(Accident::Delete | Accident::Misname) => assert!(told(number) || !behind, "{number}: {damage:?}"),
            }
            if told(number) || matches!(accident, Some(Accident::Delete | Accident::Misname)) {
                self.queue.remove(&number);
            }
            behind |= matches!(accident, None | Some(Accident::Cut));
        }
    }

    fn check_depth(&self) {
        let depth = self.spool().depth();
        assert_eq!(depth.records, self.queue.len() as u64);
        assert_eq!(depth.events, self.queue.values().map(|record| u64::from(record.events)).sum::<u64>());
        let space = self.queue.values().map(|record| room::space(record.content.len() as u64)).sum::<u64>();
        assert_eq!(depth.bytes, space);
    }
}

#[tokio::test]
async fn every_record_comes_once_in_order_as_it_was_or_is_told_of() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            match world.any(10) {
                0..5 => world.append().await,
                5..7 => world.replay().await,
                7..9 => world.accident(),
                _ => world.restart(),
            }
            world.check_depth();
        }
        while !world.queue.is_empty() {
            world.replay().await;
        }
        assert_eq!((world.replayed, world.spool().is_empty()), (world.sound, true), "seed {seed}");
        // What was misnamed while it ran is found now.
        world.restart();
        assert_eq!(world.site.files(), [] as [&str; 0]);
    }
}
