//! Scripts of inputs and the effects that they have, line by line.

mod computing;
mod connecting;
mod faults;
mod lanes;
mod lines;
mod script;
mod several;

use script::check;
