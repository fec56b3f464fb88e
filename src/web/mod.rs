//! The only room (with the simulator and the demo's catcher) that says actix: HTTP in, HTTP out.
