"""The stage `bundle`: models for other servers, the wheel of `detector/`, and the zip."""
