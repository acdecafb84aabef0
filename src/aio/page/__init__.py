"""The local page of `aio demo`: a photograph in, its restoration out, in a browser; by gradio."""
