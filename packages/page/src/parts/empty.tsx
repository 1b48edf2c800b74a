/** What stands where there is nothing to show yet. */
export const Empty = ({ text }: { readonly text: string }) => <p class="empty">{text}</p>;
