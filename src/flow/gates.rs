//! Klarna's limits and breakers, shared by the processes of one database. `klarna` knows what it
//! lacks and saw, `store` where processes meet; here they are introduced. Where the database cannot
//! be asked, each process keeps the limits by itself.

use std::collections::HashMap;

use super::House;
use crate::klarna::{Klarna, Limit, Opening, Turned};
use crate::store::Turn;

impl House {
    /// Fetches what the client lacks before `want` calls of this kind. Without a limit, or with
    /// tokens in hand, nobody is asked.
    pub(super) async fn provide(&self, limit: Limit, want: u32) {
        if !self.store.is_shared() {
            return;
        }
        let Some((rate, lacking)) = self.klarna.lacks(limit, want) else {
            return;
        };
        let taken = self
            .store
            .write(move |tx| tx.take_tokens(limit.as_str(), rate, lacking))
            .await;
        match taken {
            Ok(granted) => self
                .klarna
                .give(limit, Some((granted.tokens, granted.wait))),
            Err(error) => {
                tracing::warn!(%error, limit = limit.as_str(), "a shared limit could not be asked for; this process keeps it alone");
                self.klarna.give(limit, None);
            }
        }
    }

    /// How many of `want` links may be read about now, within the watch's share of Klarna's limit.
    /// What is not read is given back with [`Klarna::unread`].
    pub async fn may_read(&self, want: u32) -> u32 {
        self.provide(Limit::Reads, want).await;
        self.klarna.may_read(want)
    }
}

/// What this process knows of the breakers of others.
#[derive(Debug, Default)]
pub struct Gates {
    /// The last turn that was seen, by name.
    seen: HashMap<&'static str, i64>,
}

impl Gates {
    /// Tells the others what turned here, then follows what turned there.
    pub async fn exchange(&mut self, house: &House) {
        for turned in house.klarna.news() {
            let Turned { name, open } = turned;
            let open = open.map(|it| (it.left, it.wait));
            match house.store.write(move |tx| tx.turn(name, open)).await {
                Ok(turn) => {
                    self.seen.insert(name, turn);
                }
                Err(error) => {
                    tracing::debug!(%error, circuit = name, "a circuit turned and nobody could be told yet");
                    house.klarna.untold(&turned);
                }
            }
        }
        let turns = match house.store.read(|tx| tx.turns(&Klarna::BREAKERS)).await {
            Ok(turns) => turns,
            Err(error) => {
                tracing::debug!(%error, "the circuits of other processes could not be read");
                return;
            }
        };
        for Turn { name, number, open } in turns {
            let before = self.seen.insert(name, number);
            let open = open.map(|(left, wait)| Opening { left, wait });
            // what a process finds at its start is news only while it is open
            let news = before.map_or(open.is_some(), |before| before != number);
            if news {
                house.klarna.follow(&Turned { name, open });
            }
        }
    }
}
