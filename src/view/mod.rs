//! The public JSON shapes of the contract, made from the nouns: `web` answers with them, `store` freezes events with them.
