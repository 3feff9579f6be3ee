"""The chat template of models that have none. Imports no torch.

It writes what `language_model.encode_prompt` encodes for such a model: BOS, then the messages' contents with an empty
line between them. The last message, if it is the assistant's, is the answer: it follows at once and ends with EOS.
"""

from __future__ import annotations

PLAIN_CHAT_TEMPLATE = (
    "{{ bos_token or '' }}"
    "{% for message in messages %}"
    "{% set is_answer = loop.last and message['role'] == 'assistant' and not add_generation_prompt %}"
    "{% if not loop.first and not is_answer %}{{ '\\n\\n' }}{% endif %}"
    "{{ message['content'] }}"
    "{% if is_answer %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
)
