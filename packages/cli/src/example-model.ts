/** The model that help texts and advice name: small enough for any machine. */
export const exampleModel = 'Qwen/Qwen3.5-0.8B';
