/** Markdown as elements. Every text is a text node. */
import { useMemo } from 'preact/hooks';
import { readMarkdown, type Block, type Inline } from './markdown.ts';

const Inlines = ({ inlines }: { readonly inlines: readonly Inline[] }) => (
  <>
    {inlines.map(({ kind, text }, i) => {
      if (kind === 'code') return <code key={i}>{text}</code>;
      return kind === 'bold' ? <strong key={i}>{text}</strong> : text;
    })}
  </>
);

const BlockView = ({ block }: { readonly block: Block }) => {
  switch (block.kind) {
    case 'paragraph':
      return (
        <p>
          <Inlines inlines={block.inlines} />
        </p>
      );
    case 'heading':
      return (
        <p class="md-heading">
          <Inlines inlines={block.inlines} />
        </p>
      );
    case 'code':
      return (
        // It may be wider than the page, and is scrolled by keyboard then.
        <pre tabIndex={0} aria-label={block.language === '' ? 'Code' : `Code, ${block.language}`}>
          <code>{block.text}</code>
        </pre>
      );
    case 'list': {
      const items = block.items.map((inlines, i) => (
        <li key={i}>
          <Inlines inlines={inlines} />
        </li>
      ));
      return block.ordered ? <ol start={block.start}>{items}</ol> : <ul>{items}</ul>;
    }
  }
};

export const MarkdownView = ({ text }: { readonly text: string }) => {
  const blocks = useMemo(() => readMarkdown(text), [text]);
  return (
    <div class="markdown">
      {blocks.map((block, i) => (
        <BlockView key={i} block={block} />
      ))}
    </div>
  );
};
