"""`minke serve` as an HTTP client sees it, with nothing but Python's standard library."""

import json
import threading
import unittest

from minke_process import MODEL, Server, minke_json

QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def chat(self, **fields):
        body = {"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 16, **fields}
        return self.server.request("/v1/chat/completions", body)

    def test_a_chat_answers_like_minke_run(self):
        status, answer = self.chat()
        self.assertEqual(status, 200, answer)
        run = minke_json("run", MODEL, QUESTION[0]["content"], "--temperature", "0",
                         "--max-tokens", "16")
        self.assertEqual(answer["choices"][0]["message"]["content"], run["text"])
        self.assertEqual(answer["choices"][0]["finish_reason"], "length")
        self.assertEqual(answer["usage"]["completion_tokens"], 16)
        self.assertEqual(answer["usage"]["prompt_tokens"], 36)

    def test_a_common_beginning_is_computed_once(self):
        rules = " ".join(f"Rule {i}: answer question {i} in {i} words." for i in range(40))
        said = []
        for question in ("Why is the sky blue?", "Who wrote Hamlet?", "Why is the sky blue?"):
            messages = [{"role": "system", "content": rules},
                        {"role": "user", "content": question}]
            said.append(self.chat(messages=messages)[1])
        usages = [answer["usage"] for answer in said]
        cached = [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]
        self.assertEqual(cached[0], 0)
        self.assertGreater(cached[1], usages[1]["prompt_tokens"] * 0.8)
        self.assertEqual(cached[1] % 64, 0)
        self.assertGreaterEqual(cached[2], cached[1])
        self.assertEqual(said[0]["choices"], said[2]["choices"])
        for usage in usages:
            self.assertEqual(usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"],
                             usage["prompt_tokens"])

    def test_a_stream_says_the_same_in_pieces(self):
        whole = self.chat()[1]["choices"][0]["message"]["content"]
        events = self.server.events("/v1/chat/completions",
                                    {"model": MODEL, "messages": QUESTION, "temperature": 0,
                                     "max_tokens": 16, "stream": True})
        self.assertEqual(events[-1], "[DONE]")
        chunks = [json.loads(event) for event in events[:-1]]
        pieces = [choice["delta"].get("content") or "" for chunk in chunks
                  for choice in chunk["choices"]]
        self.assertEqual("".join(pieces), whole)
        self.assertGreater(len([piece for piece in pieces if piece]), 4)

    def test_a_completion_continues_its_prompt(self):
        body = {"model": MODEL, "prompt": "Once upon a time", "temperature": 0, "max_tokens": 8}
        status, answer = self.server.request("/v1/completions", body)
        self.assertEqual(status, 200, answer)
        run = minke_json("run", MODEL, "Once upon a time", "--raw", "--temperature", "0",
                         "--max-tokens", "8")
        self.assertEqual(answer["choices"][0]["text"], run["text"])

    def test_answers_do_not_depend_on_company(self):
        alone = self.chat()[1]["choices"][0]["message"]["content"]
        texts = []

        def ask(content):
            messages = [{"role": "user", "content": content}]
            answer = self.chat(messages=messages)[1]
            texts.append((content, answer["choices"][0]["message"]["content"]))

        threads = [threading.Thread(target=ask, args=(content,)) for content in
                   ["Tell me about whales.", QUESTION[0]["content"], "Count to ten.", "Hi!"]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(dict(texts)[QUESTION[0]["content"]], alone)

    def test_models_health_and_page(self):
        status, models = self.server.request("/v1/models")
        self.assertEqual(status, 200)
        self.assertIn(MODEL, [model["id"] for model in models["data"]])
        self.assertEqual(self.server.request("/health")[0], 200)
        status, page = self.server.request("/")
        self.assertEqual(status, 200)
        self.assertIn("/v1/chat/completions", page)

    def metrics(self):
        """Each sample of /metrics by its name with labels."""
        status, text = self.server.request("/metrics")
        self.assertEqual(status, 200, text)
        rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in rows}

    def test_metrics_rise_by_what_the_answers_say_they_used(self):
        before = self.metrics()
        usages = [self.chat()[1]["usage"], self.chat(max_tokens=3)[1]["usage"],
                  self.chat(stop=[" "])[1]["usage"]]
        chunks = self.server.events("/v1/chat/completions",
                                    {"model": MODEL, "messages": QUESTION, "max_tokens": 9,
                                     "stream": True, "stream_options": {"include_usage": True}})
        usages.append(json.loads(chunks[-2])["usage"])
        after = self.metrics()
        for counter, field in (("minke_prompt_tokens_total", "prompt_tokens"),
                               ("minke_generation_tokens_total", "completion_tokens"),
                               ("minke_cached_prompt_tokens_total", "prompt_cache_hit_tokens")):
            self.assertEqual(after[counter] - before[counter],
                             sum(usage[field] for usage in usages), counter)
        completed = 'minke_requests_total{outcome="completed"}'
        self.assertEqual(after[completed] - before[completed], 4)
        self.assertGreater(after["minke_kv_pages"], 0)
        self.assertFalse([name for name in after if "expert" in name])

    def test_bad_requests_get_an_error_document(self):
        for body in (b"{not json", {"model": MODEL}, {"model": MODEL, "messages": "hi"},
                     {"model": MODEL, "messages": QUESTION, "temperature": "hot"}):
            status, answer = self.server.request("/v1/chat/completions", body)
            self.assertIn(status, (400, 422), answer)
            self.assertTrue(answer["error"]["message"])
        self.assertEqual(self.server.request("/v1/nothing")[0], 404)

    def test_a_prompt_longer_than_the_context_is_refused(self):
        messages = [{"role": "user", "content": "word " * 20000}]
        status, answer = self.chat(messages=messages)
        self.assertEqual(status, 400, answer)
        self.assertTrue(answer["error"]["message"])


if __name__ == "__main__":
    unittest.main()
