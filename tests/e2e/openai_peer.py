"""The official openai Python client against `minke serve` (./check --all; needs .venv)."""

import unittest

import openai

from minke_process import MODEL, Server

QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


class OpenAiClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().__enter__()
        cls.client = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.__exit__()

    def ask(self, **fields):
        return self.client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0,
                                                   max_tokens=60, **fields)

    def test_it_chats(self):
        answer = self.ask()
        self.assertIn("scatter", answer.choices[0].message.content.lower())
        self.assertEqual(answer.usage.total_tokens,
                         answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_it_streams_the_same_text(self):
        whole = self.ask().choices[0].message.content
        pieces = [chunk.choices[0].delta.content or "" for chunk in self.ask(stream=True)
                  if chunk.choices]
        self.assertEqual("".join(pieces), whole)

    def test_it_lists_models(self):
        self.assertIn(MODEL, [model.id for model in self.client.models.list()])

    def test_it_understands_errors(self):
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(model=MODEL, messages=[], max_tokens=1)

    def test_log_probabilities_are_those_of_the_greedy_tokens(self):
        answer = self.ask(logprobs=True, top_logprobs=2)
        for item in answer.choices[0].logprobs.content:
            self.assertEqual(item.token, item.top_logprobs[0].token)
            self.assertLessEqual(item.logprob, 0)


if __name__ == "__main__":
    unittest.main()
