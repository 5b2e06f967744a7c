"""A notebook as one HTML page that runs no script and loads nothing from elsewhere."""

import copy

import nbformat
from nbconvert import HTMLExporter

IMAGES = ("image/png", "image/jpeg", "image/svg+xml")

# nbconvert's page loads RequireJS, MathJax and Mermaid from a content network, and runs what an output
# brings along. Ours loads nothing, runs nothing and may not: live controls and JavaScript of a notebook are
# left out, code is folded by <details>.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; media-src data:; font-src data:; style-src 'unsafe-inline';
    base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark">
{%- endblock html_head_js -%}
{%- block jupyter_widgets -%}{%- endblock jupyter_widgets -%}
{%- block html_head_js_mathjax -%}{%- endblock html_head_js_mathjax -%}
{%- block html_head_js_mermaidjs -%}{%- endblock html_head_js_mermaidjs -%}
{%- block html_head_css -%}
{{ resources.include_css("static/theme-dark.css") | replace('<style type="text/css">',
   '<style type="text/css" media="screen and (prefers-color-scheme: dark)">', 1) }}
<style type="text/css">
%s
</style>
{%- endblock html_head_css -%}
{%- block body_header -%}
<body class="jp-Notebook">
{%- if nb.cells | selectattr('cell_type', 'equalto', 'code') | list %}
<input type="checkbox" id="all-code"><label for="all-code">Show all code</label>
{%- endif %}
<main>
{%- endblock body_header -%}
{%- block input_group -%}
{%- if cell.source -%}
{%- set failed = cell.outputs | selectattr('output_type', 'equalto', 'error') | list -%}
<details class="code"{{ ' open' if failed }}>
<summary>Code [{{ cell.execution_count or '&nbsp;' }}]</summary>
{{ super() }}
</details>
{%- endif -%}
{%- endblock input_group -%}
{%- block output_group -%}
{%- if "reference" in cell.metadata.get("tags", []) -%}
<details class="folded"><summary>Show</summary>
{{ super() }}
</details>
{%- else -%}
{{ super() }}
{%- endif -%}
{%- endblock output_group -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output" data-mime-type="image/png">
<img src="data:image/png;base64,{{ output.data['image/png'] | replace('\n', '') | e }}"
  alt="{{ output | get_metadata('alt', 'image/png') | e }}">
</div>
{%- endblock data_png -%}
{%- block data_jpg scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output" data-mime-type="image/jpeg">
<img src="data:image/jpeg;base64,{{ output.data['image/jpeg'] | replace('\n', '') | e }}"
  alt="{{ output | get_metadata('alt', 'image/jpeg') | e }}">
</div>
{%- endblock data_jpg -%}
{%- block data_svg scoped -%}
<div class="jp-RenderedSVG jp-OutputArea-output" data-mime-type="image/svg+xml">
<img src="data:image/svg+xml;base64,{{ output.data['image/svg+xml'] | text_base64 | e }}"
  alt="{{ output | get_metadata('alt', 'image/svg+xml') | e }}">
</div>
{%- endblock data_svg -%}
{%- block data_widget_view scoped -%}
<p class="live">Live controls stand here when the notebook runs in JupyterLab.</p>
{%- endblock data_widget_view -%}
{%- block data_javascript scoped -%}
<p class="live">A script stood here; reports run none.</p>
{%- endblock data_javascript -%}
{%- block footer -%}</html>{%- endblock footer -%}
"""
STYLE = """
body.jp-Notebook { max-width: 75rem; margin: 0 auto; overflow-x: hidden; }
.code > summary, .folded > summary {
  cursor: pointer; padding: 0.2rem 0.4rem;
  font: 0.8rem var(--jp-ui-font-family); color: var(--jp-ui-font-color2);
}
#all-code, #all-code + label { display: none; }
@supports selector(::details-content) {
  #all-code { display: inline-block; margin: 1rem 0.4rem 0 0.5rem; }
  #all-code + label {
    display: inline; font: 0.9rem var(--jp-ui-font-family); color: var(--jp-ui-font-color1);
  }
  #all-code:checked ~ main .code::details-content { content-visibility: visible; }
  #all-code:checked ~ main .code > summary { visibility: hidden; }
}
@media print {
  .code::details-content, .folded::details-content { content-visibility: visible; }
  #all-code, #all-code + label, .code > summary, .folded > summary { display: none; }
}
.jp-RenderedImage, .jp-RenderedHTML, .jp-RenderedText { overflow-x: auto; }
.jp-RenderedImage img { max-width: 100%; height: auto; }
.live { font-style: italic; color: var(--jp-content-font-color2); }
@media (max-width: 40rem) {
  .jp-InputPrompt, .jp-OutputPrompt { display: none; }
  .jp-Cell, body.jp-Notebook { padding: 0.25rem; }
}
@media screen and (prefers-color-scheme: dark) {
  .jp-RenderedImage img, .jp-RenderedSVG img { background: white; border-radius: 4px; }
}
"""


def as_html(nb: nbformat.NotebookNode, title: str) -> str:
    """The notebook, code and outputs, as one HTML page with embedded images; formulas are not rendered.

    The outputs of cells tagged `summary` come first, below the title, followed by the figure of the cell
    tagged `thumbnail`. Code is folded, except in cells that raised, and so are the outputs of cells tagged
    `reference`. Every image has alternative text (`qnb.runs.alt_text`). The page follows the reader's choice
    of light or dark.
    """
    page = HTMLExporter(raw_template=TEMPLATE.replace("%s", STYLE), embed_images=True)
    notebook = _summary_first(with_alt_text(nb))
    html, _ = page.from_notebook_node(notebook, resources={"metadata": {"name": title}})
    return html


def _summary_first(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook, changed in place: below its title stand its cells tagged `summary`, without their
    heading, and once more the figure that stands for it, of its cell tagged `thumbnail`.
    """
    lifted = [i for i, cell in enumerate(nb.cells) if _tagged(cell, "summary") and cell.outputs]
    title = next((i for i, cell in enumerate(nb.cells) if cell.source.startswith("# ")), None)
    if not lifted or title is None:
        return nb
    line, _, introduction = nb.cells[title].source.partition("\n")
    first = [nbformat.v4.new_markdown_cell(line), *(nb.cells[i] for i in lifted), *_figure(nb)]
    gone = {title, *lifted, *(i - 1 for i in lifted if _only_a_heading(nb.cells[i - 1]))}
    rest = [cell for i, cell in enumerate(nb.cells) if i not in gone]
    nb.cells = [*rest[:title], *first, nbformat.v4.new_markdown_cell(introduction.strip()), *rest[title:]]
    return nb


def _figure(nb: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The images of the cell tagged `thumbnail`, without its code, as cells; none if there is none."""
    outputs = [
        output for cell in nb.cells if _tagged(cell, "thumbnail") for output in cell.get("outputs", [])
    ]
    images = [output for output in outputs if set(IMAGES) & set(output.get("data", {}))]
    return [nbformat.v4.new_code_cell("", outputs=images)] if images else []


def _tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    return cell.cell_type == "code" and tag in cell.metadata.get("tags", [])


def _only_a_heading(cell: nbformat.NotebookNode) -> bool:
    return cell.cell_type == "markdown" and cell.source.startswith("#") and "\n" not in cell.source.strip()


def with_alt_text(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy of the notebook in which every image has alternative text: its own (see `qnb.runs.alt_text`),
    or its number and the heading above it.
    """
    nb, heading, count = copy.deepcopy(nb), "", 0
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            titles = [line.lstrip("#").strip() for line in cell.source.splitlines() if line.startswith("#")]
            heading = titles[-1] if titles else heading
        for output in cell.get("outputs", []):
            for kind in IMAGES:
                if kind in output.get("data", {}):
                    count += 1
                    metadata = output.metadata.setdefault(kind, {})
                    metadata.setdefault(
                        "alt", f"Figure {count}{f', under the heading “{heading}”' if heading else ''}"
                    )
    return nb
