/** The part that all ids of one answer share, made from its request's id: ids may hold fewer characters than that may. */
export const idStem = (requestId: string): string => requestId.replace(/^req_/, '').replaceAll(/[^\w-]/g, '_');
