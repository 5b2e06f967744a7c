"""A notebook as one HTML page that asks nothing of the outside."""

import nbformat
from nbconvert import HTMLExporter

# nbconvert's page loads RequireJS, MathJax and Mermaid from a content network. Ours loads nothing, and may not.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; media-src data:; font-src data:;
    style-src 'unsafe-inline'; script-src 'unsafe-inline'">
{%- endblock html_head_js -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
"""


def as_html(nb: nbformat.NotebookNode, title: str) -> str:
    """The notebook, code and outputs, as one HTML page with images embedded; formulas stay as they are written."""
    page = HTMLExporter(raw_template=TEMPLATE, embed_images=True)
    html, _ = page.from_notebook_node(nb, resources={"metadata": {"name": title}})
    return html
