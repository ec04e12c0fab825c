"""Makes jinja_cases.jsonl: templates, their variables, and what Python's jinja2 renders.

The environment is the one that transformers makes for chat templates
(utils/chat_template_utils.py): ImmutableSandboxedEnvironment, trim_blocks,
lstrip_blocks, loop controls, the generation tag, its tojson, raise_exception,
namespace. The first line records the versions; jinja_language.cases holds more cases. Run with an output path:

    python tests/golden/jinja_golden.py tests/golden/jinja_cases.jsonl
"""

import copy
import datetime
import json
import os
import platform
import re
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def make_environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    class Namespace(jinja2.utils.Namespace):
        def __init__(*args, **kwargs):
            self, args = args[0], args[1:]
            attributes = dict(*args, **kwargs)
            for name in attributes:
                Namespace.check(name)
            jinja2.utils.Namespace.__init__(self, attributes)

        def __setitem__(self, name, value):
            Namespace.check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def check(name):
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError(f"underscore name {name!r}")

    class Dict:
        def __call__(self, *args, **kwargs):
            return dict(*args, **kwargs)

        def fromkeys(self, *args, **kwargs):
            return dict.fromkeys(*args, **kwargs)

    env.globals["dict"] = Dict()
    env.globals["namespace"] = Namespace
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


NOW_SECONDS = 1_700_000_000  # what strftime_now tells

VARIABLES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Hello, \"wörld\"! 😀\n"},
        {"role": "assistant", "content": "Hi <b>you</b> & 'me'", "tool_calls": [
            {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, None, True]}}}]},
        {"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "image"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "description": "Adds <two> numbers",
               "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}],
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "text": "Hello, World",
    "uni": "Grüße, 世界 😀",
    "empty": "",
    "number": 42,
    "real": 2.5,
    "flag": True,
    "nothing": None,
    "items": [3, 1, 2],
    "words": ["pear", "Apple", "fig"],
    "people": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25}, {"name": "Cyd", "age": 30}],
    "map": {"b": 1, "a": {"deep": [1, 2, {"x": "y"}]}, "items": "shadow"},
    "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}],
}

EXPRESSIONS = r'''
1|-1|+1|0x1F|0b101|0o17|1_000|1.5|1e3|1.5e-7|1e16|1e22|123456789012345.0|0.1+0.2
7//2|-7//2|7//-2|7%3|-7%3|7%-3|7.5//2|-7.5%2|2**10|2**-1|2.0**3|10/4|10/5|1/3|-2**2|2**3**2
1+2*3-4|(1+2)*3|1 - -1|5 - 3 - 1|8/4/2|True+1|True|true|None|none|false
'a' 'b'|'a\nb'|'a\\b'|'\x41\u00e9\101'|"it's"|'say "x"'|'\q'|'tab\there'
'a'+'b'|'ab'*3|3*'ab'|'ab'*0|'ab'*-1|[1,2]+[3]|[0]*3|(1,)+(2,)|'a'~1~none~true~[1]~2.0
[]|[1]|()|(1,)|(1,2)|{}|{'a':1}|{'a':{'b':[1,'x',none,true,1.0]}}|[[],{},()]|['it\'s',"q\"",'\'"']
{1:2,'a':3}|{'a':1,'a':2}|['\n\t\\','é','😀','\u200b','\x07']
1<2|1<=1|2>3|1==1.0|'a'<'b'|'a'=='a'|'a'!='b'|1<2<3|1<3<2|[1,2]<[1,3]|[1]==[1]|(1,)==[1]|{'a':1}=={'a':1}|none==none|1==true|'1'==1
1 in [1,2]|3 not in [1,2]|'el' in text|'x' in text|'a' in map|'z' in map|'' in text|2 in (1,2)|'pear' in words
not true|not 0|not ''|not []|not x|1 and 2|0 and 2|1 or 2|0 or ''|none or 'd'|not 1 == 2|x and y|x or 'd'
1 if true else 2|1 if false else 2|1 if false|'a' if x else 'b' if y else 'c'|(1 if 0) ~ 'z'
text[0]|text[-1]|text[1:3]|text[:-1]|text[::-1]|text[::2]|text[-3:]|text[10:2]|text[2:100]|text[5:1:-2]|uni[1:4]|uni[::-1]|uni[-1]|uni[2]
items[0]|items[-1]|items[1:]|items[::-1]|items[:2]|items[5]|(1,2,3)[1:]|items[5] is defined|text[99]|items['x'] is defined
map.b|map['b']|map.a.deep[2].x|map.a['deep'][0]|map.zzz|map['zzz']|map.zzz is defined|map['items']|map.b is defined|map.get('b')|map.get('q')|map.get('q',5)|map.0
map.keys()|map.values()|map.items()|map.keys()|list|map.items()|list|{'a':1}.items()|list|map|length|{'a':1}.copy()
text.upper()|text.lower()|text.title()|text.capitalize()|text.swapcase()|uni.upper()|uni.lower()|'straße'.upper()|"it's a dog".title()|'ÉCOLE'.capitalize()
'  a b '.strip()|'  a b '.lstrip()|'  a b '.rstrip()|'xxaxx'.strip('x')|'abcba'.strip('ab')|'abcba'.lstrip('ab')|'abcba'.rstrip('ab')|'\u3000a\xa0'.strip()|'\n\n x \t'.strip('\n')
'a,b,c'.split(',')|'a,b,c'.split(',',1)|' a  b c '.split()|' a  b c '.split(none,1)|'a b c'.rsplit(' ',1)|' a b  c '.rsplit(none,1)|''.split()|''.split(',')|'a--b'.split('--')[-1]|'abc'.split('z')|'a b'.split(maxsplit=1)
'a\nb\r\nc\n'.splitlines()|'a\nb'.splitlines(true)|'a=b=c'.partition('=')|'a=b=c'.rpartition('=')|'abc'.partition('=')
text.startswith('He')|text.endswith('ld')|text.startswith(('x','H'))|text.startswith('llo',2)|text.endswith('')|'<think>'.startswith('<')|text.find('o')|text.rfind('o')|text.find('zz')|text.count('l')|text.index('W')|'aaa'.count('')|uni.find('世')
'aXbX'.replace('X','-')|'aXbX'.replace('X','-',1)|'abc'.replace('','-')|'abc'.replace('','-',2)|'aaa'.replace('aa','b')|text.replace('o',uni)
','.join(words)|''.join(['a'])|', '.join([])|'x'.join('abc')|'pre-fix'.removeprefix('pre')|'pre-fix'.removesuffix('fix')
'5'.zfill(3)|'-5'.zfill(4)|'a'.ljust(3)~'|'|'a'.rjust(3)|'a'.center(4,'*')|'ab'.center(5,'*')|'a\tb'.expandtabs(4)
'12'.isdigit()|'a1'.isalnum()|'ab'.isalpha()|''.isalpha()|'AB'.isupper()|'ab'.islower()|' '.isspace()|'é'.isascii()|'²'.isdigit()|'1'.isdecimal()|'½'.isnumeric()
'{} and {}'.format(1,'b')|'{1}{0}'.format('a','b')|'{x}'.format(x=3)|'{:>5}|{:<5}|{:^5}'.format(1,'a','b')|'{:.2f}'.format(3.14159)|'{:05d}'.format(42)|'{:,}'.format(1234567)|'{{}}'.format()|'{!r}'.format('a')|'{:x}'.format(255)|'{0[a]}'.format({'a':1})|'{:%}'.format(0.5)|'{:+}'.format(5)|'{:*^7}'.format('ab')
'%s is %d'|format('x',3)|'%s' % 'a'|'%s-%s' % (1,'b')|'%05.1f' % 3.14159|'%x' % 255|'%5s|%-5s|' % ('a','b')|'%%' % ()|'%(a)s' % {'a':1}|'%r' % 'a'|'%d' % 3.9|'%+d' % 5|'%e' % 12345.678|'%c' % 65|'%g' % 0.0001
text|upper|text|lower|text|title|'hello wORLD-foo (bar)'|title|text|capitalize|'  x '|trim|'xxaxx'|trim('x')|text|length|items|length|map|length|x|length|uni|length
items|sort|items|sort(reverse=true)|words|sort|words|sort(case_sensitive=true)|people|sort(attribute='age')|map(attribute='name')|list|items|reverse|list|text|reverse|items|first|items|last|[]|first|items|sum|people|sum(attribute='age')|items|min|items|max|words|max
words|join(', ')|words|join|people|join(', ',attribute='name')|[1,2,'a']|join('-')|'abc'|join('.')
words|map('upper')|list|words|map('length')|list|people|map(attribute='name')|join(',')|people|map(attribute='zz',default='-')|list|words|select('equalto','fig')|list|items|select('odd')|list|items|reject('odd')|list|[0,1,'']|select|list|people|selectattr('age','equalto',30)|map(attribute='name')|list|people|rejectattr('tags')|map(attribute='name')|list|people|selectattr('tags','defined')|list|length|items|select('gt',1)|list|['a','b']|map('replace','a','z')|list|messages|selectattr('role','==','user')|list|length
people|groupby('age')|map('first')|list|items|batch(2)|list|items|batch(2,0)|list|items|slice(2)|list|['a','A','b']|unique|list|map|dictsort|map|dictsort|map('first')|list|{'b':2,'A':1}|dictsort|{'b':2,'A':1}|dictsort(true)|{'b':1,'a':2}|dictsort(by='value')|{'a':1}|items|list
x|default('d')|empty|default('d')|empty|default('d',true)|none|default('d')|none|d('d',true)|false|default('z',boolean=true)|map.zz|default(5)
'5'|int|'5.7'|int|'x'|int|'x'|int(9)|5.9|int|'0x1f'|int(base=16)|'1.5'|float|'x'|float|3|float|-3|abs|-2.5|abs|2.5|round|3.14159|round(2)|2.1|round(0,'ceil')|2.9|round(method='floor')|7|round|true|int|' 12 '|int|'ff'|int(base=16)|0.5|round|1.5|round
5|string|[1]|string|none|string|true|string|'a'|string|1.0|string
text|replace('o','0')|text|replace('l','L',2)|'a\nb\n\nc'|indent|'a\nb'|indent(2,true)|'a\n\nb'|indent(2,blank=true)|'a\nb'|indent('> ')|'a\nb\n'|indent(2)|'foo bar baz qux'|truncate(9)|'foo bar baz qux'|truncate(9,true)|'foo bar baz qux'|truncate(11)|'a'|center(5)|'a b_c d.e'|wordcount|'<a & "b">'|e|'<a>'|safe|'a b/c?é'|urlencode
map|tojson|messages|tojson|text|tojson|uni|tojson|uni|tojson(ensure_ascii=true)|items|tojson|none|tojson|true|tojson|1.5|tojson|1e20|tojson|'<a>\'"\\\n\t\x01'|tojson|{}|tojson|[]|tojson|(1,2)|tojson|{1:2,none:3,true:4,1.5:5}|tojson
map|tojson(indent=2)|[]|tojson(indent=2)|[[],{}]|tojson(indent=4)|map|tojson(sort_keys=true)|map|tojson(separators=(',',':'))|map|tojson(indent='--')|tools|tojson(indent=4)|messages[2].tool_calls|tojson
x is defined|text is defined|x is undefined|none is none|x is none|text is string|5 is string|5 is number|5 is integer|5.0 is float|5.0 is integer|true is integer|true is boolean|true is number|true is true|1 is true|false is false|0 is false
map is mapping|items is mapping|items is sequence|text is sequence|map is sequence|5 is sequence|x is sequence|items is iterable|text is iterable|5 is iterable|x is iterable|none is iterable|range is callable|4 is even|3 is odd|9 is divisibleby 3|9 is divisibleby(2)|1 is eq 1|1 is ne 2|1 is lt 2|2 is gt 1|2 is ge 2|1 is in [1,2]|1 is not in [1]|'ab' is lower|'AB' is upper|1 is sameas 1|'upper' is filter|'odd' is test|text is not none and 1|(x is defined) or 2|map.keys() is sequence|'a' is not string
range(3)|range(3)|list|range(1,7,2)|list|range(5,0,-2)|list|range(0)|list|range(1,3)|dict(a=1,b=2)|dict([['a',1]])|dict({'a':1},b=2)|namespace(a=1).a|range(10)[-1]|range(10)[2:4]|list|range(3)|length
'%s' % x|x ~ 'a'|x == y|x == none|[x]|x|list|x|join|'a' in x|items.count(3)|items.index(1)|('a','b').index('b')
'a' if items else 'b'|items and 'yes'|{} and 1|map.get('a').deep|map.a.get('deep')|length|messages[0]['content']|messages[-1].content[0].text|messages[1].content|trim|messages[1]['content'].strip()|length|messages|map(attribute='role')|join('>')
'a'.__class__|map.__class__ is defined|items.append is defined|map.pop is defined|''.mro is defined
'''.strip()

# Joined with '|' in EXPRESSIONS means "next case", except where a case itself holds a pipe; these
# are listed one by one.
TEMPLATES = [
    "{% for i in items %}{{ i }}{% if not loop.last %},{% endif %}{% endfor %}",
    "{% for i in items %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }} {% endfor %}",
    "{% for i in items %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}",
    "{% for i in items if i > 1 %}{{ loop.index }}:{{ i }} {% else %}none{% endfor %}",
    "{% for i in [] %}x{% else %}none{% endfor %}",
    "{% for i in x %}x{% else %}none{% endfor %}",
    "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in {'z': 1, 'y': 2}|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in map %}{{ k }};{% endfor %}",
    "{% for c in uni %}[{{ c }}]{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3)), (4, (5, 6))] %}{{ a }}{{ b }}{{ c }} {% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in items recursive %}{{ i }}{% endfor %}",
    "{% for n in tree recursive %}{{ n.v }}@{{ loop.depth }}{% if n.c %}({{ loop(n.c) }}){% endif %}{% endfor %}",
    "{% for i in items %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in [1,1,2,2,1] %}{{ loop.changed(i) }} {% endfor %}",
    "{% for i in items %}{% for j in words %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for i in items %}{% set outer = loop %}{% for j in items %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for m in messages %}{{ m.role }}{% if loop.nextitem is defined and loop.nextitem.role == 'user' %}!{% endif %} {% endfor %}",
    "{% for i in 1, 2, 3 %}{{ i }}{% endfor %}",
    "{% for i in 'a' if true else 'b' %}{{ i }}{% endfor %}",
    "{% set a = 1 %}{{ a }}{% set a = a + 1 %}{{ a }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set a = 0 %}{% for i in items %}{{ a }}{% set a = i %}{{ a }}{% endfor %}{{ a }}",
    "{% if true %}{% set a = 5 %}{% endif %}{{ a }}",
    "{% set a = 1 %}{% for i in items %}{% if i == 1 %}{% set a = 9 %}{% endif %}{{ a }}{% endfor %}{{ a }}",
    "{% set ns = namespace(n=0, s='') %}{% for i in items %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}",
    "{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns.y }}{{ ns.y is defined }}{{ ns }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns['b'] }}",
    "{% set x.y = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set a %}text {{ number }}{% endset %}[{{ a }}]{{ a is string }}",
    "{% set a | upper %}text{% endset %}{{ a }}",
    "{% set a | upper | replace('T', 'z') %}text{% endset %}{{ a }}",
    "{% set a %}{% set inner = 1 %}{% endset %}{{ inner is defined }}",
    "{% if 0 %}a{% elif 1 %}b{% else %}c{% endif %}",
    "{% if 0 %}a{% elif 0 %}b{% else %}c{% endif %}",
    "{% if x %}a{% endif %}",
    "{% if items %}a{% endif %}{% if not nothing %}b{% endif %}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 5) }} {{ m(b=1, a=9) }} {{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}",
    "{% macro m() %}x{% endmacro %}{{ m(1) }}",
    "{% macro m() %}x{% endmacro %}{{ m(k=1) }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body{% endcall %}",
    "{% macro m() %}<{{ caller(1, b=2) }}>{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{{ g }}{% endmacro %}{% set g = 7 %}{{ m() }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% endmacro %}{% set g = 2 %}{{ m() }}",
    "{% macro m(a) %}{% set a = a ~ '!' %}{{ a }}{% endmacro %}{{ m('x') }}{{ a }}",
    "{% macro m() %}  {% if true %} y {% endif %}  {% endmacro %}[{{ m() | trim }}]{{ m.name }}",
    "{%- macro a(x) -%}{{- b(x) -}}{%- endmacro -%}{%- macro b(x) -%}<{{ x }}>{%- endmacro -%}{{ a(1) }}",
    "{% filter upper %}abc {{ text }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}banana{% endfilter %}",
    "{% with a = 1, b = number %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% generation %}a{% set q = 1 %}{{ text }}{% endgeneration %}{{ q is defined }}",
    "{% autoescape false %}<{{ '<' }}>{% endautoescape %}",
    "{% raw %}{{ not }} {% run %}{% endraw %}",
    "a {%- raw -%}  x {{ y }}  {%- endraw -%}  b",
    "{% raw %}\nline\n{% endraw %}\nafter",
    "a{# comment #}b", "a\n  {# comment #}\nb", "a {#- comment -#} b", "a\n{#- c #}\n\nb",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%+ if true %}\n  b\n  {%+ endif %}\nc\n",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc\n",
    "a\n{% if true +%}\nb\n{% endif +%}\nc",
    "  {{ 1 }}  \n  {{- 2 -}}  \n  {{ 3 }}\n",
    "x {% if true %} y {% endif %} z",
    "  {% if true %}x{% endif %}  {% if true %}y{% endif %}\n",
    "{% if true %}\n\n{% endif %}\n\n",
    "a\n\n", "a\r\nb\rc\r\n", "\n{{ 1 }}\n", "",
    "\u3000{%- if true %} x\u00a0{%- endif %}",
    "{{ '{{' }} {{ \"%}\" }} {% if '%}' == '%}' %}ok{% endif %}",
    "{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a': 1}}}",
    "{ {} % # }", "{{ 1 }}{", "a }} b %} c #}",
    "{{ messages[0].content }}{{ messages[99] }}",
    "{{ messages[99].role }}", "{{ x.y }}", "{{ x() }}", "{{ x + 1 }}", "{{ 1 + 'a' }}", "{{ 'a' + 1 }}", "{{ none + 'a' }}",
    "{{ 1 // 0 }}", "{{ [] + {} }}", "{{ 5|length }}", "{{ x|nofilter }}", "{{ x is notest }}", "{{ items() }}", "{{ 5 < 'a' }}",
    "{{ map|sort(attribute='x') }}", "{{ [1, 'a']|sort }}", "{{ {[]: 1} }}", "{{ none|tojson }}{{ x|tojson }}", "{{ 'a' in 5 }}", "{{ 1 in 'a' }}",
    "{{ items.append(1) }}", "{{ map.update({}) }}", "{{ map.pop('b') }}", "{{ words.sort() }}", "{{ ''.__class__.mro() }}", "{{ ()|attr('__class__') }}",
    "{{ raise_exception('no ' ~ text) }}", "{{ text.index('zzz') }}", "{{ 'a'.split('') }}", "{{ range(1000000) }}", "{{ namespace(_a=1) }}",
    "{% for %}{% endfor %}", "{% if %}", "{% if true %}", "{% endif %}", "{% foo %}", "{{ 1 +", "{{ (1 }}", "{{ [1, }}", "{{ 'abc }}", "{% set 1 = 2 %}", "{% set true = 2 %}",
    "{{ a b }}", "{{ 1..2 }}", "{# never", "{% raw %}x", "{{ !x }}", "{% macro m(a=1, b) %}{% endmacro %}", "{{ f(a=1, 2) }}", "{% break %}", "{{ }}", "{{ x is defined is none }}", "{% do items %}", "{{ @ }}",
    "{% call 5 %}{% endcall %}", "{% set a, b = [1] %}", "{% for a, b in [1] %}{% endfor %}", "{{ ''|first.x }}",
    "{{ dict(**map).b }}{{ '%s%s' % (1, 2) }}{{ dict(*[[['a', 1]]]) }}",
    "{{ '<b>'|safe + '<i>' }}{{ '<i>' + '<b>'|e + '&' }}{{ ('<'|e)|e }}{{ ('<'|e)|forceescape }}{{ '<'|e is escaped }}",
    "{{ '<b>'|safe ~ '<i>' }}{{ ('<b>'|safe)[1:] + '<' }}{{ '<b>'|safe == '<b>' }}",
    "{{ none | selectattr('x') | list }}{{ nothing | map('upper') | list }}{{ 0 | reject | list }}",
    "{{ items | map('string') | join }}{{ items|map('int')|map('string')|list }}",
    "{{ (items | first) + 1 }}{{ items | first + 1 }}",
    "{{ -1 | abs }}{{ (-1) | abs }}{{ 'a' ~ 'b' | upper }}{{ not true | string }}",
    "{{ 2 * 3 ** 2 }}{{ -2 ** 2 }}{{ 1 + 2 ~ 3 }}{{ 1 ~ 2 + 3 }}",
    "{{ 'a' is string == true }}",
    "{{ text.split(', ')[1].upper()[0:2] }}",
    "{% if 'assistant' in messages|map(attribute='role') %}y{% endif %}",
    "{% if messages[-1]['content'] is not string and messages[-1].content is iterable %}y{% endif %}",
    "{% set content = messages[1].content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}{{ content }}",
    "{%- set ns = namespace(found=false) -%}{%- for m in messages[::-1] -%}{%- if not ns.found and m.role == 'user' -%}{%- set ns.found = true -%}{{ loop.index0 }}{%- endif -%}{%- endfor -%}",
    "{% set m = messages + [{'role': 'tool', 'content': 'x'}] %}{{ m | length }}{{ m[-1].content }}",
    "{% for tool in tools %}{{ tool | tojson(indent=4) }}{% endfor %}",
    "{{ tools | tojson }}{{ (tools[0].function | tojson).replace('\"', '\\\\\"') }}",
    "{% for a in messages[2].tool_calls[0].function.arguments | items %}{{ a[0] }}={{ a[1] | tojson }}{% endfor %}",
]

# Small templates in the manner of published ones, written for this test.
CHATS = [
    # ChatML with a default system message.
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + (message['content'] if message['content'] is string else '') + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    # Tools, tool calls, parts of content, thinking.
    """{{- bos_token -}}
{%- macro parts(content) -%}
  {%- if content is string -%}
    {{- content | trim -}}
  {%- else -%}
    {%- for part in content -%}
      {%- if part.type == 'text' %}{{ part.text }}{% elif part.type == 'image' %}<image>{% endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- if tools %}
[TOOLS]
  {%- for tool in tools %}
{{ tool.function.name }}: {{ tool.function.description | default('', true) }}
{{ tool | tojson(indent=2) }}
  {%- endfor %}
[/TOOLS]
{% endif -%}
{%- set ns = namespace(turn=0) -%}
{%- for message in messages %}
  {%- if message.role == 'user' %}{% set ns.turn = ns.turn + 1 %}{% endif -%}
<|{{ message.role }}|>{{ parts(message.content) }}
    {%- for call in message.tool_calls or [] %}

<call>{{ call.function.name }}({% for k, v in call.function.arguments.items() %}{{ k }}={{ v | tojson }}{{ ', ' if not loop.last }}{% endfor %})</call>
    {%- endfor %}
{{ eos_token if message.role == 'assistant' -}}
{%- endfor %}
{{ ns.turn }}
{%- if add_generation_prompt %}<|assistant|>{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}
""",
]


def expression_cases():
    """Splits each line at the pipes that are outside of quotes and start no known filter."""
    filters = set(make_environment().filters)
    for line in EXPRESSIONS.split("\n"):
        part, quote, depth, i = "", "", 0, 0
        while i < len(line):
            c = line[i]
            if quote:
                if c == "\\":
                    part += c + line[i + 1]
                    i += 2
                    continue
                quote = "" if c == quote else quote
            elif c in "'\"":
                quote = c
            elif c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
            elif c == "|" and depth == 0:
                word = ""
                for d in line[i + 1:]:
                    if not d.isalnum() and d != "_":
                        break
                    word += d
                after = line[i + 1 + len(word):i + 2 + len(word)]
                if word not in filters or after == "." or (word == "map" and after != "(") \
                        or (word == "items" and after in " ["):
                    yield part
                    part = ""
                    i += 1
                    continue
            part += c
            i += 1
        yield part


def language_cases():
    """The lines of jinja_language.cases: expressions or templates, with \u23ce for a line break."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jinja_language.cases")
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file.read().split("\n"):
            if line and not line.startswith("# "):
                case = line.replace("\u23ce", "\n")
                yield case if re.search(r"\{[{%#]", line) else "{{ " + case + " }}"


def main():
    env = make_environment()
    now = datetime.datetime.fromtimestamp(NOW_SECONDS, datetime.timezone.utc)
    env.globals["strftime_now"] = now.strftime
    cases = ["{{ " + e + " }}" for e in expression_cases()] + TEMPLATES + CHATS
    cases += language_cases()
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        print(json.dumps({"jinja2": jinja2.__version__, "python": platform.python_version(),
                          "variables": VARIABLES}, ensure_ascii=False), file=out)
        for source in dict.fromkeys(cases):
            case = {"template": source}
            try:
                variables = copy.deepcopy(VARIABLES)  # jinja2's indent appends to a list
                case["text"] = env.from_string(source).render(documents=None, **variables)
            except Exception as error:
                case["error"] = f"{type(error).__name__}: {error}"
            if "generator object" in case.get("text", "") or " at 0x" in case.get("text", ""):
                raise SystemExit(f"not reproducible: {source}")
            print(json.dumps(case, ensure_ascii=False), file=out)


if __name__ == "__main__":
    main()
