//! A small honest Klarna: KCO, HPP and Order Management with page, clock, faults and callbacks. Shares no wire struct with the client.
