//! The one room that speaks Klarna's language: KCO, HPP and Order Management.
